"""The options of QNN, as ONNX Runtime 1.31 takes them.

Keys and defaults were read from the provider libraries; an empty default was not established.
"""

from __future__ import annotations

from ortlab.catalog.options import Option

QNN = (
    Option(
        "backend_type",
        "enum",
        default="htp",
        choices=("cpu", "gpu", "htp", "saver", "ir"),
        meaning="Which QNN backend (excludes backend_path).",
    ),
    Option(
        "backend_path",
        "path",
        default="libQnnHtp.so",
        loads_code=True,
        meaning="Loads a shared library.",
    ),
    Option(
        "profiling_level",
        "enum",
        default="off",
        choices=("off", "basic", "detailed", "optrace"),
        meaning="How much QNN records about itself.",
    ),
    Option(
        "profiling_file_path",
        "path",
        meaning="CSV of the profiling level, apart from ONNX Runtime's trace.",
    ),
    Option(
        "rpc_control_latency", "int", default="0", minimum=0, meaning="RPC control latency, µs."
    ),
    Option(
        "vtcm_mb",
        "int",
        default="0",
        minimum=0,
        meaning="Tightly coupled memory to use, MB; 0 is the default.",
    ),
    Option(
        "htp_performance_mode",
        "enum",
        default="default",
        choices=(
            "burst",
            "balanced",
            "default",
            "high_performance",
            "high_power_saver",
            "low_balanced",
            "extreme_power_saver",
            "low_power_saver",
            "power_saver",
            "sustained_high_performance",
        ),
        meaning="Clock and power mode of the accelerator.",
    ),
    Option(
        "qnn_saver_path",
        "path",
        loads_code=True,
        meaning="Saver backend library; records the calls.",
    ),
    Option("qnn_ir_backend_path", "path", loads_code=True, meaning="IR backend library."),
    Option(
        "qnn_context_priority",
        "enum",
        default="normal",
        choices=("low", "normal", "normal_high", "high"),
        meaning="Priority on a shared accelerator.",
    ),
    Option(
        "htp_graph_finalization_optimization_mode",
        "int",
        default="0",
        minimum=0,
        maximum=3,
        meaning="How long graph preparation searches.",
    ),
    Option(
        "soc_model", "int", default="0", minimum=0, meaning="Number of the chip; 0 is found out."
    ),
    Option(
        "htp_arch",
        "enum",
        default="0",
        choices=("0", "68", "69", "73", "75", "79", "81"),
        meaning="Generation of the accelerator; 0 is found out.",
    ),
    Option("device_id", "int", default="0", minimum=0, meaning="Ordinal of the device."),
    Option(
        "enable_htp_fp16_precision", "bool", default="1", meaning="Fp32 models run as fp16 on HTP."
    ),
    Option(
        "offload_graph_io_quantization",
        "bool",
        default="1",
        meaning="Graph I/O Q/DQ nodes go to CPU by default: looks like fallback.",
    ),
    Option(
        "enable_htp_spill_fill_buffer",
        "bool",
        default="0",
        meaning="Share the spill and fill buffer between sessions.",
    ),
    Option(
        "enable_htp_shared_memory_allocator",
        "bool",
        default="0",
        meaning="Inputs and outputs in memory shared with the accelerator.",
    ),
    Option(
        "enable_vtcm_backup_buffer_sharing",
        "bool",
        default="0",
        meaning="Share the backup buffer between contexts.",
    ),
    Option(
        "disable_file_mapped_weights",
        "bool",
        default="0",
        meaning="Read context binaries instead of mapping them.",
    ),
    Option("dump_json_qnn_graph", "bool", default="0", meaning="Write the QNN graph as JSON."),
    Option("json_qnn_graph_dir", "path", meaning="Folder of those files."),
    Option("dump_qnn_ir_dlc", "bool", default="0", meaning="Write the graph as DLC."),
    Option("dump_qnn_ir_dlc_dir", "path", meaning="Folder of those files."),
    Option(
        "dump_qnn_ep_input_graph",
        "bool",
        default="0",
        meaning="Write the graph as the provider received it.",
    ),
    Option("dump_qnn_ep_input_graph_dir", "path", meaning="Folder of those files."),
    Option(
        "op_packages",
        "text",
        loads_code=True,
        meaning="Op:Path:Symbol[:Target]; loads shared libraries.",
    ),
    Option(
        "skip_qnn_version_check",
        "bool",
        default="0",
        meaning="Load QNN libraries of another version.",
    ),
    Option(
        "skip_backend_op_validation",
        "bool",
        default="0",
        meaning="Do not ask the backend whether it supports each node.",
    ),
    Option("extended_udma", "bool", default="0"),
    Option("htp_bf16_enable", "bool", default="0", meaning="Run in bfloat16 where the chip can."),
    Option("enable_htp_prepare_only", "bool", default="0"),
    Option("enable_htp_prepare_and_load", "bool", default="0"),
    Option("htp_share_resource_optimization", "bool", default="0"),
    Option("enable_htp_graph_splitting", "bool", default="0", meaning="Split large graphs."),
    Option(
        "htp_graph_splitting_num_prepare_threads",
        "int",
        meaning="Threads that prepare split graphs.",
    ),
    Option("enable_htp_monolithic_lstm", "bool", default="0"),
    Option("enable_framework_op_trace", "bool", default="0"),
    Option("enable_block_quant_weight_optimization", "bool"),
    Option("enable_htp_fp16_clamp_overflow", "bool"),
)
