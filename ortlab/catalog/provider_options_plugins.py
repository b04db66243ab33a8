"""The options of OpenVINO and WebGPU, as ONNX Runtime 1.31 takes them.

Keys and defaults were read from the provider libraries; an empty default was not established.
"""

from __future__ import annotations

from ortlab.catalog.options import Option

OPENVINO = (
    Option(
        "device_type",
        "text",
        meaning="CPU, GPU, GPU.0, NPU, AUTO:GPU,CPU, HETERO:GPU,CPU, MULTI:..",
    ),
    Option("device_id", "text", meaning="Deprecated alias."),
    Option("device_luid", "text", meaning="Locally unique id of the device (Windows)."),
    Option(
        "precision",
        "enum",
        choices=("FP32", "FP16", "ACCURACY"),
        meaning="Precision of inference (no effect on a CPU was measured).",
    ),
    Option("num_of_threads", "int", default="0", minimum=0, meaning="INFERENCE_NUM_THREADS."),
    Option("num_streams", "int", default="1", minimum=0, meaning="NUM_STREAMS."),
    Option("cache_dir", "path", meaning="Compiled blob cache."),
    Option(
        "model_priority",
        "enum",
        default="DEFAULT",
        choices=("LOW", "MEDIUM", "HIGH", "DEFAULT"),
        meaning="Priority of this model on a shared device.",
    ),
    Option(
        "enable_opencl_throttling",
        "bool",
        default="false",
        meaning="Lower CPU use while a GPU works.",
    ),
    Option("enable_qdq_optimizer", "bool", default="false", meaning="NPU QDQ stripping."),
    Option(
        "enable_causallm",
        "bool",
        default="false",
        meaning="Treat the model as a causal language model with state.",
    ),
    Option(
        "load_config",
        "text",
        meaning='{"CPU":{"INFERENCE_PRECISION_HINT":"f32","PERF_COUNT":"YES",...}}.',
    ),
    Option("reshape_input", "text", meaning="Data[1,3,60,80..120]."),
    Option("hint_enable_gqa", "bool", meaning="Prepare for GroupQueryAttention."),
    Option(
        "dump_subgraphs", "bool", meaning="Write the subgraphs given to OpenVINO as ONNX files."
    ),
)

WEBGPU = (
    Option(
        "preferredLayout",
        "enum",
        default="NHWC",
        choices=("NCHW", "NHWC"),
        meaning="Layout the graph is turned into.",
    ),
    Option(
        "enableGraphCapture", "bool", default="0", meaning="Fails unless ALL nodes are on WebGPU."
    ),
    Option("enableInt64", "bool", default="0", meaning="Run int64 operators on the GPU."),
    Option(
        "forceCpuNodeNames",
        "text",
        meaning="Force named nodes onto CPU: handy to fabricate fallback in tests.",
    ),
    Option(
        "validationMode",
        "enum",
        default="basic",
        choices=("disabled", "wgpuOnly", "basic", "full"),
        meaning="How much the calls to the GPU are checked.",
    ),
    Option(
        "storageBufferCacheMode",
        "enum",
        default="bucket",
        choices=("disabled", "lazyRelease", "simple", "bucket"),
        meaning="How storage buffers are reused.",
    ),
    Option(
        "uniformBufferCacheMode",
        "enum",
        default="simple",
        choices=("disabled", "lazyRelease", "simple", "bucket"),
        meaning="How uniform buffers are reused.",
    ),
    Option(
        "queryResolveBufferCacheMode",
        "enum",
        default="disabled",
        choices=("disabled", "lazyRelease", "simple", "bucket"),
        meaning="How query buffers are reused.",
    ),
    Option(
        "defaultBufferCacheMode",
        "enum",
        default="disabled",
        choices=("disabled", "lazyRelease", "simple", "bucket"),
        meaning="How other buffers are reused.",
    ),
    Option(
        "powerPreference",
        "enum",
        default="high-performance",
        choices=("high-performance", "low-power"),
        meaning="Which GPU is preferred when there are several.",
    ),
    Option(
        "dawnBackendType",
        "enum",
        choices=("Vulkan", "D3D12"),
        meaning="Graphics interface; unset is the platform's own.",
    ),
    Option(
        "deviceId",
        "int",
        default="0",
        minimum=0,
        meaning="Context of the device; 0 is the default one.",
    ),
    Option(
        "maxNumPendingDispatches",
        "int",
        default="16",
        minimum=1,
        maximum=4096,
        meaning="Dispatches batched per submit: the node that trips it pays.",
    ),
    Option(
        "maxStorageBufferBindingSize",
        "bytes",
        default="0",
        meaning="Largest buffer bound at once; 0 is the device's limit.",
    ),
    Option("sessionBufferPoolGenerations", "int", default="1", minimum=0),
    Option("enableRobustness", "bool", default="0", meaning="Bounds checks in shaders."),
    Option(
        "preserveDevice", "bool", default="0", meaning="Keep the device after the last session."
    ),
    Option("enablePIXCapture", "bool", default="0", meaning="Capture frames for PIX (Windows)."),
    Option("multiRotaryCacheConcatOffset", "int", default="0", minimum=0),
    Option("kvCacheQuantizationBits", "int"),
)
