"""The papers behind the architectures that are no federated method's own."""

from __future__ import annotations

from edgesim.papers import Paper, authors

LENET = Paper(
    "lecun1998lenet",
    authors("LeCun, Yann; Bottou, Léon; Bengio, Yoshua; Haffner, Patrick"),
    "Gradient-Based Learning Applied to Document Recognition",
    1998,
    "Proceedings of the IEEE",
    kind="article",
    doi="10.1109/5.726791",
)
VGG = Paper(
    "simonyan2015vgg",
    authors("Simonyan, Karen; Zisserman, Andrew"),
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    2015,
    "ICLR",
    arxiv="1409.1556",
)
RESNET = Paper(
    "he2016resnet",
    authors("He, Kaiming; Zhang, Xiangyu; Ren, Shaoqing; Sun, Jian"),
    "Deep Residual Learning for Image Recognition",
    2016,
    "CVPR",
    arxiv="1512.03385",
)
PREACT_RESNET = Paper(
    "he2016preact",
    authors("He, Kaiming; Zhang, Xiangyu; Ren, Shaoqing; Sun, Jian"),
    "Identity Mappings in Deep Residual Networks",
    2016,
    "ECCV",
    arxiv="1603.05027",
)
MOBILENET_V2 = Paper(
    "sandler2018mobilenetv2",
    authors("Sandler, Mark; Howard, Andrew; Zhu, Menglong; Zhmoginov, Andrey; Chen, Liang-Chieh"),
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    2018,
    "CVPR",
    arxiv="1801.04381",
)
MOBILENET_V3 = Paper(
    "howard2019mobilenetv3",
    authors(
        "Howard, Andrew; Sandler, Mark; Chu, Grace; Chen, Liang-Chieh; Chen, Bo; Tan, Mingxing; "
        "Wang, Weijun; Zhu, Yukun; Pang, Ruoming; Vasudevan, Vijay; Le, Quoc V.; Adam, Hartwig"
    ),
    "Searching for MobileNetV3",
    2019,
    "ICCV",
    arxiv="1905.02244",
)
EFFICIENTNET = Paper(
    "tan2019efficientnet",
    authors("Tan, Mingxing; Le, Quoc V."),
    "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    2019,
    "ICML",
    arxiv="1905.11946",
)
VIT = Paper(
    "dosovitskiy2021vit",
    authors(
        "Dosovitskiy, Alexey; Beyer, Lucas; Kolesnikov, Alexander; Weissenborn, Dirk; Zhai, Xiaohua; "
        "Unterthiner, Thomas; Dehghani, Mostafa; Minderer, Matthias; Heigold, Georg; Gelly, Sylvain; "
        "Uszkoreit, Jakob; Houlsby, Neil"
    ),
    "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
    2021,
    "ICLR",
    arxiv="2010.11929",
)
DEIT = Paper(
    "touvron2021deit",
    authors(
        "Touvron, Hugo; Cord, Matthieu; Douze, Matthijs; Massa, Francisco; Sablayrolles, Alexandre; "
        "Jégou, Hervé"
    ),
    "Training data-efficient image transformers & distillation through attention",
    2021,
    "ICML",
    arxiv="2012.12877",
)
