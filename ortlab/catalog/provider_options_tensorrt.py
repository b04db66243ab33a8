"""The options of TensorRT and TensorRT RTX, as ONNX Runtime 1.31 takes them.

Keys and defaults were read from the provider libraries; an empty default was not established.
"""

from __future__ import annotations

from ortlab.catalog.options import Option

TENSORRT = (
    Option(
        "trt_max_workspace_size",
        "bytes",
        default="0",
        meaning="Builder workspace (0 = TRT default/max)",
    ),
    Option(
        "trt_max_partition_iterations",
        "int",
        default="1000",
        minimum=0,
        meaning="Partitioning attempts.",
    ),
    Option(
        "trt_min_subgraph_size",
        "int",
        default="1",
        minimum=0,
        meaning="Min nodes of a TRT subgraph.",
    ),
    Option(
        "trt_fp16_enable", "bool", default="0", meaning="Let TensorRT run layers in half precision."
    ),
    Option("trt_bf16_enable", "bool", default="0", meaning="Let TensorRT run layers in bfloat16."),
    Option("trt_int8_enable", "bool", default="0", meaning="Needs QDQ model or calibration table."),
    Option(
        "trt_int8_calibration_table_name",
        "path",
        meaning="Calibration table for int8 on a model without Q/DQ nodes.",
    ),
    Option(
        "trt_int8_use_native_calibration_table",
        "bool",
        default="0",
        meaning="The table was written by TensorRT itself, not by ONNX Runtime.",
    ),
    Option(
        "trt_dla_enable",
        "bool",
        default="0",
        meaning="Use a Deep Learning Accelerator core where the chip has one.",
    ),
    Option("trt_dla_core", "int", default="0", minimum=0, meaning="Which DLA core."),
    Option(
        "trt_engine_cache_enable",
        "bool",
        default="0",
        meaning="Engine depends on GPU arch, TRT version, options and shapes.",
    ),
    Option("trt_engine_cache_path", "path", meaning="Folder of cached engines."),
    Option("trt_engine_cache_prefix", "text", meaning="First part of the names of cached engines."),
    Option("trt_engine_hw_compatible", "bool", default="0", meaning="Ampere+ portable engines."),
    Option(
        "trt_weight_stripped_engine_enable",
        "bool",
        default="0",
        meaning="Build engines without weights and refit them at load.",
    ),
    Option("trt_onnx_model_folder_path", "path", meaning="For weight-stripped refit."),
    Option(
        "trt_engine_decryption_enable", "bool", default="0", meaning="Cached engines are encrypted."
    ),
    Option(
        "trt_engine_decryption_lib_path",
        "path",
        loads_code=True,
        meaning="Loads a shared library: treat as code execution.",
    ),
    Option(
        "trt_force_sequential_engine_build",
        "bool",
        default="0",
        meaning="Build engines one after another on machines with several GPUs.",
    ),
    Option(
        "trt_context_memory_sharing_enable",
        "bool",
        default="0",
        meaning="Share execution memory between subgraphs.",
    ),
    Option(
        "trt_layer_norm_fp32_fallback",
        "bool",
        default="0",
        meaning="Keep the Pow and Reduce of layer normalization in float32 when fp16 is on.",
    ),
    Option("trt_timing_cache_enable", "bool", default="0", meaning="Big speed-up of rebuilds."),
    Option("trt_timing_cache_path", "path", meaning="Folder of the timing cache."),
    Option(
        "trt_force_timing_cache",
        "bool",
        default="0",
        meaning="Use a timing cache made on another GPU of the same kind.",
    ),
    Option(
        "trt_detailed_build_log",
        "bool",
        default="0",
        meaning="Log each step of building an engine.",
    ),
    Option(
        "trt_build_heuristics_enable",
        "bool",
        default="0",
        meaning="Choose kernels by heuristics, for quicker builds.",
    ),
    Option(
        "trt_sparsity_enable",
        "bool",
        default="0",
        meaning="Let TensorRT use structured sparsity of the weights.",
    ),
    Option(
        "trt_builder_optimization_level",
        "int",
        default="3",
        minimum=0,
        maximum=5,
        meaning="How long the builder searches: higher is slower to build and may run faster.",
    ),
    Option("trt_auxiliary_streams", "int", default="-1", minimum=-1, meaning="-1 = heuristic."),
    Option("trt_tactic_sources", "text", meaning="E.g. -CUDNN,+CUBLAS."),
    Option(
        "trt_extra_plugin_lib_paths",
        "path",
        loads_code=True,
        meaning="Loads shared libraries: treat as code execution.",
    ),
    Option("trt_profile_min_shapes", "text", meaning="in:1x3x224x224,... all three or none."),
    Option(
        "trt_profile_max_shapes", "text", meaning="Largest shapes, as in trt_profile_min_shapes."
    ),
    Option(
        "trt_profile_opt_shapes",
        "text",
        meaning="Shapes to optimize for, as in trt_profile_min_shapes.",
    ),
    Option(
        "trt_cuda_graph_enable",
        "bool",
        default="0",
        meaning="Capture the run in a CUDA graph and replay it.",
    ),
    Option(
        "trt_dump_subgraphs",
        "bool",
        default="0",
        meaning="Write the subgraphs given to TensorRT as ONNX files.",
    ),
    Option(
        "trt_dump_ep_context_model",
        "bool",
        default="0",
        meaning="Write a model that holds the built engine.",
    ),
    Option("trt_ep_context_file_path", "path", meaning="Where that model is written."),
    Option(
        "trt_ep_context_embed_mode",
        "int",
        default="0",
        minimum=0,
        maximum=1,
        meaning="0 keeps the engine beside that model, 1 inside it.",
    ),
    Option("trt_op_types_to_exclude", "text", meaning="Comma list of ops kept off TRT."),
    Option("trt_preview_features", "text", meaning="Comma list of TensorRT preview features."),
    Option(
        "trt_load_user_initializer",
        "bool",
        default="0",
        meaning="Pass the weights to TensorRT from ONNX Runtime's memory.",
    ),
    Option("device_id", "int", default="0", minimum=0, meaning="GPU ordinal."),
    Option(
        "has_user_compute_stream",
        "bool",
        default="0",
        meaning="Whether a stream is passed in; only useful from C++.",
    ),
)

TENSORRT_RTX = (
    Option("device_id", "int", default="0", minimum=0, meaning="GPU ordinal."),
    Option(
        "has_user_compute_stream",
        "bool",
        default="0",
        meaning="Whether a stream is passed in; only useful from C++.",
    ),
    Option(
        "enable_cuda_graph",
        "bool",
        default="0",
        meaning="Capture the run in a CUDA graph and replay it.",
    ),
    Option(
        "nv_max_workspace_size",
        "bytes",
        default="0",
        meaning="Most memory a kernel may use while building; 0 is no bound.",
    ),
    Option(
        "nv_max_shared_mem_size",
        "bytes",
        default="0",
        meaning="Most shared memory a kernel may use; 0 is the default.",
    ),
    Option(
        "nv_profile_min_shapes",
        "text",
        meaning="Smallest shapes: in:1x3x224x224,…; all three or none.",
    ),
    Option("nv_profile_max_shapes", "text", meaning="Largest shapes, as in nv_profile_min_shapes."),
    Option(
        "nv_profile_opt_shapes",
        "text",
        meaning="Shapes to optimize for, as in nv_profile_min_shapes.",
    ),
    Option(
        "nv_multi_profile_enable",
        "bool",
        default="0",
        meaning="Several shape profiles in one session.",
    ),
    Option(
        "nv_dump_subgraphs",
        "bool",
        default="0",
        meaning="Write the subgraphs given to TensorRT RTX as ONNX files.",
    ),
    Option(
        "nv_detailed_build_log", "bool", default="0", meaning="Log each step of building an engine."
    ),
    Option("nv_runtime_cache_path", "path", meaning="JIT kernel cache."),
)
