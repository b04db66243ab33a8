"""The operators ONNX Runtime 1.31 registers, so that a model is judged without loading it.

A name stands alone when it is there since opset 1 of its domain; `Name:9` since opset 9, and
`Name:1-10` means deprecated, and refused, from opset 10 on. Read off
`get_all_operator_schema()`; a name that is missing here is looked up in the installed release.
"""

from __future__ import annotations

from functools import cache

REGISTERED_BY = "1.31"

_TEXT = {
    "": """
        Abs Acos:7 Acosh:9 Add Affine:1-10 AffineGrid:20 And ArgMax ArgMin Asin:7 Asinh:9
        Atan:7 Atanh:9 Attention:23 AveragePool BatchNormalization Bernoulli:15 BitCast:26
        BitShift:11 BitwiseAnd:18 BitwiseNot:18 BitwiseOr:18 BitwiseXor:18
        BlackmanWindow:17 Cast CastLike:15 CausalConvWithState:27 Ceil Celu:12
        CenterCropPad:18 Clip Col2Im:18 Compress:9 Concat ConcatFromSequence:11 Constant
        ConstantOfShape:9 Conv ConvInteger:10 ConvTranspose Cos:7 Cosh:9 Crop:1-10
        CumProd:26 CumSum:11 DFT:17 DeformConv:19 DepthToSpace DequantizeLinear:10 Det:11
        DisentangledAttention_TRT Div Dropout DynamicQuantizeLinear:11 DynamicSlice:1-10
        EfficientNMS_TRT Einsum:12 Elu Equal Erf:9 Exp Expand:8 EyeLike:9 Flatten Floor
        GRU GRUUnit:1-10 Gather GatherElements:11 GatherND:11 Gelu:20 Gemm
        GivenTensorFill:1-10 GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
        GreaterOrEqual:12 GridSample:16 GroupNormalization:18 HammingWindow:17
        HannWindow:17 HardSigmoid HardSwish:14 Hardmax Identity If ImageDecoder:20
        ImageScaler:1-10 InstanceNormalization IsInf:10 IsNaN:9 LRN LSTM
        LayerNormalization LeakyRelu Less LessOrEqual:12 LinearAttention:27 Log LogSoftmax
        Loop LpNormalization LpPool MatMul MatMulInteger:10 Max MaxPool MaxRoiPool
        MaxUnpool:9 Mean MeanVarianceNormalization MelWeightMatrix:17 MemcpyFromHost
        MemcpyToHost Min Mish:18 Mod:10 Mul MultilevelCropAndResize_TRT Multinomial:7 Neg
        NegativeLogLikelihoodLoss:12 NonMaxSuppression:10 NonZero:9 Not OneHot:9
        Optional:15 OptionalGetElement:15 OptionalHasElement:15 Or PRelu Pad
        ParametricSoftplus:1-10 Pow PyramidROIAlign_TRT QLinearConv:10 QLinearMatMul:10
        QuantizeLinear:10 RMSNormalization:23 RNN RandomNormal RandomNormalLike
        RandomUniform RandomUniformLike Range:11 Reciprocal ReduceL1 ReduceL2 ReduceLogSum
        ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare RegexFullMatch:20 Relu Reshape Resize:10 ReverseSequence:10
        RoiAlign:10 RotaryEmbedding:23 Round:11 STFT:17 Scale:1-10 ScaledTanh:1-10 Scan:8
        Scatter:9-11 ScatterElements:11 ScatterND:11 Selu SequenceAt:11
        SequenceConstruct:11 SequenceEmpty:11 SequenceErase:11 SequenceInsert:11
        SequenceLength:11 SequenceMap:17 Shape Shrink:9 Sigmoid Sign:9
        SimplifiedLayerNormalization Sin:7 Sinh:9 Size Slice Softmax
        SoftmaxCrossEntropyLoss:12 Softplus Softsign SpaceToDepth Split SplitToSequence:11
        Sqrt Squeeze StringConcat:20 StringNormalizer:10 StringSplit:20 Sub Sum Swish:24
        Tan:7 Tanh TensorScatter:24 TfIdfVectorizer:9 ThresholdedRelu Tile TopK Transpose
        Trilu:14 Unique:11 Unsqueeze Upsample:1-10 Where:9 Xor""",
    "ai.onnx.ml": """
        ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer
        FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor Normalizer
        OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble:5
        TreeEnsembleClassifier:1-5 TreeEnsembleRegressor:1-5 ZipMap""",
    "com.microsoft": """
        Attention AttnLSTM BeamSearch BiasAdd BiasDropout BiasGelu BiasSoftmax
        BiasSplitGelu BifurcationDetector BitmaskBiasDropout BitmaskDropout
        BranchwiseRMSNorm CDist CausalConvWithState ComplexMul ComplexMulConj
        ConvTransposeWithDynamicPads CropAndResize DecoderAttention
        DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention DequantizeBFP
        DequantizeLinear DequantizeWithOrder DynamicQuantizeLSTM DynamicQuantizeMatMul
        DynamicSparseAttention DynamicTimeWarping EPContext EmbedLayerNormalization
        EngramGate ExpandDims FastGelu FusedConv FusedGemm FusedMatMul
        FusedMatMulActivation GatedAdd GatedDeltaNet GatedRMSNorm
        GatedRelativePositionBias GatherBlockQuantized GatherND Gelu GemmFastGelu
        GemmFloat8 GemmaRotaryEmbedding GreedySearch GridSample GroupNorm
        GroupQueryAttention HyperConnectionPostMix HyperConnectionPreMix Inverse Irfft
        IsAllFinite LinearAttention LinearAttentionGate LongformerAttention
        MRotaryEmbedding MatMulBlockQuantizedFp4Weight MatMulBlockQuantizedFp8Weight
        MatMulBnb4 MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat MatMulNBits
        MatMulNBitsMlp MatMulNBitsQkv MaxpoolWithMask MoE MulInteger MultiHeadAttention
        MurmurHash3 NGramHashMapping NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool
        PackedAttention PackedMultiHeadAttention PackedSparseAttentionIndexer Pad
        PagedAttention QAttention QEmbedLayerNormalization QGemm QLinearAdd
        QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool
        QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax
        QLinearWhere QMoE QOrderedAttention QOrderedGelu QOrderedLayerNormalization
        QOrderedLongformerAttention QOrderedMatMul QuantizeBFP QuantizeLinear
        QuantizeWithOrder QuickGelu Range ReduceSumInteger RelativePositionBias
        RemovePadding RestorePadding Rfft RotaryEmbedding SampleOp Sampling ScaledSiLU
        SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization Snpe
        SparseAttention SparseAttentionIndexer SparsePagedAttention SparseToDenseMatMul
        Tokenizer TorchEmbedding TransposeMatMul Trilu UnfoldTensor Unique
        VarlenCausalConvWithState VarlenNGramHashMapping WhisperBeamSearch
        WordConvEmbedding""",
    "com.microsoft.nchwc": """
        AveragePool Conv GlobalAveragePool GlobalMaxPool MaxPool ReorderInput
        ReorderOutput Upsample""",
    "com.ms.internal.nhwc": """
        AveragePool:7 BatchNormalization:7 Conv ConvTranspose DepthToSpace
        GlobalAveragePool GlobalLpPool:2 GlobalMaxPool GridSample:16
        InstanceNormalization:6 LRN LpPool:11 MaxPool MaxUnpool:9 QLinearAveragePool
        QLinearConv:10 QLinearConvTranspose Resize:11 SpaceToDepth""",
}

FOREVER = 1 << 30


def _span(word: str) -> tuple[str, tuple[int, int]]:
    name, _, versions = word.partition(":")
    since, _, until = versions.partition("-")
    return name, (int(since or 1), int(until or FOREVER))


@cache
def operators(domain: str) -> dict[str, tuple[int, int]]:
    """For each operator of a domain: the opset it came with, and the one that dropped it."""
    return dict(map(_span, _TEXT.get(domain, "").split()))


DOMAINS = frozenset(_TEXT)
