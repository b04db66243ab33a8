"""The options of CUDA, as ONNX Runtime 1.31 takes them.

Keys and defaults were read from the provider libraries; an empty default was not established.
"""

from __future__ import annotations

from ortlab.catalog.options import Option

CUDA = (
    Option("device_id", "int", default="0", minimum=0, meaning="GPU ordinal."),
    Option(
        "gpu_mem_limit",
        "bytes",
        default="18446744073709551615",
        meaning="Arena size cap only (cuDNN/cuBLAS workspaces are outside it)",
    ),
    Option(
        "arena_extend_strategy",
        "enum",
        default="kNextPowerOfTwo",
        choices=("kNextPowerOfTwo", "kSameAsRequested"),
        meaning="Arena growth.",
    ),
    Option(
        "cudnn_conv_algo_search",
        "enum",
        default="EXHAUSTIVE",
        choices=("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
        meaning="Conv algo search; EXHAUSTIVE benchmarks on the first run of every new shape.",
    ),
    Option(
        "cudnn_conv_use_max_workspace",
        "bool",
        default="1",
        meaning="0 limits the search workspace to 32 MB.",
    ),
    Option("cudnn_conv1d_pad_to_nc1d", "bool", default="0", meaning="Pad 1-D conv as [N,C,1,D]."),
    Option(
        "do_copy_in_default_stream",
        "bool",
        default="1",
        meaning="Legacy; copies on the compute stream.",
    ),
    Option(
        "has_user_compute_stream",
        "bool",
        default="0",
        meaning="Whether a stream is passed in; only useful from C++.",
    ),
    Option(
        "use_ep_level_unified_stream",
        "bool",
        default="0",
        meaning="One stream for all sessions/threads of the EP.",
    ),
    Option(
        "enable_cuda_graph",
        "bool",
        default="0",
        meaning="Capture the run and replay it: needs fixed shapes, IO binding, and every node "
        "on the GPU.",
    ),
    Option("enable_cudnn", "bool", default="1", meaning="0 runs without cuDNN."),
    Option(
        "use_tf32",
        "bool",
        default="1",
        meaning="TF32 matmul/conv on Ampere+: ON by default, changes numerics vs CPU.",
    ),
    Option("prefer_nhwc", "bool", default="0", meaning="NHWC layout transform."),
    Option("fuse_conv_bias", "bool", default="0", meaning="CuDNN fused conv+bias(+act)"),
    Option(
        "sdpa_kernel",
        "int",
        default="0",
        minimum=0,
        meaning="Bit mask of attention kernels: 1 flash, 2 efficient, 4 TensorRT fused, 8 cuDNN "
        "flash, 16 math, 32, 64 and 128 TensorRT flash, cross, causal, 256 lean; 0 is automatic.",
    ),
    Option(
        "enable_skip_layer_norm_strict_mode",
        "bool",
        default="0",
        meaning="Fp32 accumulation in SkipLayerNorm.",
    ),
    Option("tunable_op_enable", "bool", default="0", meaning="TunableOp."),
    Option("tunable_op_tuning_enable", "bool", default="0", meaning="Online tuning."),
    Option(
        "tunable_op_max_tuning_duration_ms",
        "int",
        default="0",
        minimum=0,
        meaning="Upper bound for online tuning of one operator; 0 is no bound.",
    ),
    Option(
        "external_data_loader_reading_threads",
        "int",
        default="4",
        minimum=0,
        meaning="Threads reading external data to GPU.",
    ),
)
