"""The papers by which the publishers of data sets want them cited."""

from __future__ import annotations

from edgesim.papers import Paper, authors

DIGITS = Paper(
    "alpaydin1998digits",
    authors("Alpaydin, Ethem; Kaynak, Cenk"),
    "Optical Recognition of Handwritten Digits",
    1998,
    "UCI Machine Learning Repository",
    kind="misc",
    doi="10.24432/C50P49",
)
MNIST = Paper(
    "lecun1998mnist",
    authors("LeCun, Yann; Cortes, Corinna; Burges, Christopher J. C."),
    "The MNIST Database of Handwritten Digits",
    1998,
    "web page",
    kind="misc",
    url="http://yann.lecun.com/exdb/mnist/",
)
QMNIST = Paper(
    "yadav2019qmnist",
    authors("Yadav, Chhavi; Bottou, Léon"),
    "Cold Case: The Lost MNIST Digits",
    2019,
    "NeurIPS",
    arxiv="1905.10498",
)
FASHION_MNIST = Paper(
    "xiao2017fashionmnist",
    authors("Xiao, Han; Rasul, Kashif; Vollgraf, Roland"),
    "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
    2017,
    "arXiv preprint",
    kind="misc",
    arxiv="1708.07747",
)
CIFAR = Paper(
    "krizhevsky2009cifar",
    authors("Krizhevsky, Alex"),
    "Learning Multiple Layers of Features from Tiny Images",
    2009,
    "Technical report, University of Toronto",
    kind="misc",
)
IMAGENET = Paper(
    "deng2009imagenet",
    authors("Deng, Jia; Dong, Wei; Socher, Richard; Li, Li-Jia; Li, Kai; Fei-Fei, Li"),
    "ImageNet: A Large-Scale Hierarchical Image Database",
    2009,
    "CVPR",
    doi="10.1109/CVPR.2009.5206848",
)
TINY_IMAGENET = Paper(
    "le2015tinyimagenet",
    authors("Le, Ya; Yang, Xuan"),
    "Tiny ImageNet Visual Recognition Challenge",
    2015,
    "CS231n course report, Stanford University",
    kind="misc",
)
UCI_HAR = Paper(
    "anguita2013har",
    authors("Anguita, Davide; Ghio, Alessandro; Oneto, Luca; Parra, Xavier; Reyes-Ortiz, Jorge L."),
    "A Public Domain Dataset for Human Activity Recognition Using Smartphones",
    2013,
    "ESANN",
)
WISDM = Paper(
    "kwapisz2010wisdm",
    authors("Kwapisz, Jennifer R.; Weiss, Gary M.; Moore, Samuel A."),
    "Activity Recognition using Cell Phone Accelerometers",
    2010,
    "ACM SIGKDD Explorations",
    kind="article",
    doi="10.1145/1964897.1964918",
)
