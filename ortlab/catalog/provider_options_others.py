"""The options of the remaining providers, as ONNX Runtime 1.31 takes them.

Keys and defaults were read from the provider libraries; an empty default was not established.
"""

from __future__ import annotations

from ortlab.catalog.options import Option

CPU = (
    Option(
        "use_arena",
        "bool",
        default="1",
        meaning="CPU arena; any key/value is accepted silently by the Python API.",
    ),
)

DML = (
    Option("device_id", "int", default="0", minimum=0, meaning="DXGI adapter."),
    Option(
        "performance_preference",
        "enum",
        default="default",
        choices=("default", "high_performance", "minimum_power"),
        meaning="Which adapter is preferred when there are several.",
    ),
    Option(
        "device_filter",
        "enum",
        default="gpu",
        choices=("gpu", "npu", "any"),
        meaning="Kind of adapter that may be used.",
    ),
    Option(
        "disable_metacommands",
        "bool",
        default="false",
        meaning="Do not use the vendor's own kernels.",
    ),
    Option(
        "enable_dynamic_graph_fusion",
        "bool",
        default="false",
        meaning="Fuse graphs whose shapes are known only at run time.",
    ),
    Option(
        "enable_graph_serialization",
        "bool",
        default="false",
        meaning="Write the fused graph to disk.",
    ),
)

COREML = (
    Option(
        "ModelFormat",
        "enum",
        default="NeuralNetwork",
        choices=("MLProgram", "NeuralNetwork"),
        meaning="MLProgram supports more ops (macOS 12+)",
    ),
    Option(
        "MLComputeUnits",
        "enum",
        default="ALL",
        choices=("ALL", "CPUOnly", "CPUAndGPU", "CPUAndNeuralEngine"),
        meaning="Which units Core ML may use.",
    ),
    Option(
        "RequireStaticInputShapes",
        "bool",
        default="0",
        meaning="Take only nodes whose shapes are fixed.",
    ),
    Option(
        "EnableOnSubgraphs",
        "bool",
        default="0",
        meaning="Also take nodes inside If, Loop and Scan.",
    ),
    Option(
        "SpecializationStrategy",
        "enum",
        default="Default",
        choices=("Default", "FastPrediction"),
        meaning="Prepare for quick prediction at the price of load time.",
    ),
    Option(
        "ProfileComputePlan", "bool", default="0", meaning="Logs op->hardware + estimated cost."
    ),
    Option(
        "AllowLowPrecisionAccumulationOnGPU",
        "bool",
        default="0",
        meaning="Accumulate in half precision on the GPU.",
    ),
    Option(
        "ModelCacheDirectory",
        "path",
        meaning="Folder of compiled models; its key does not change with the weights alone.",
    ),
)

XNNPACK = (
    Option("intra_op_num_threads", "int", default="1", minimum=0, meaning="XNNPACK pool size."),
)

MIGRAPHX = (
    Option("device_id", "int", default="0", minimum=0, meaning="GPU ordinal."),
    Option("migraphx_fp16_enable", "bool", default="0", meaning="Run in half precision."),
    Option("migraphx_bf16_enable", "bool", default="0", meaning="Run in bfloat16."),
    Option("migraphx_fp8_enable", "bool", default="0", meaning="Run quantized layers in float8."),
    Option("migraphx_int8_enable", "bool", default="0", meaning="Run quantized layers in int8."),
    Option("migraphx_int8_calibration_table_name", "path", meaning="Calibration table for int8."),
    Option(
        "migraphx_int8_use_native_calibration_table",
        "bool",
        default="0",
        meaning="The table was written by MIGraphX itself.",
    ),
    Option("migraphx_exhaustive_tune", "bool", default="0", meaning="Very slow compile."),
    Option("migraphx_mem_limit", "bytes", meaning="Arena size cap."),
    Option(
        "migraphx_arena_extend_strategy",
        "enum",
        default="0",
        choices=("0", "1"),
        meaning="Arena growth: 0 by powers of two, 1 as requested.",
    ),
    Option("migraphx_model_cache_dir", "path", meaning="Folder of compiled models."),
)

VITISAI = (
    Option("config_file", "path", meaning="Configuration of the compiler."),
    Option("cache_dir", "path", meaning="Folder of compiled models."),
    Option("cache_key", "text", meaning="Folder name of this model in the cache."),
    Option(
        "xclbin", "path", loads_code=True, meaning="Accelerator binary; is loaded onto the device."
    ),
    Option("target", "text", meaning="X1/X2/VAIML."),
    Option(
        "log_level",
        "enum",
        default="error",
        choices=("info", "warning", "error", "fatal"),
        meaning="How much the compiler logs.",
    ),
)
