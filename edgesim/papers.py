"""The papers behind what a scenario can name. A component names its own: `papers = (FEDAVG,)`.

Those of methods stand here, those of models and data sets in their rooms. A user's component names one that
is in none of them by a `Paper` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Paper:
    """What it takes to find a publication; an identifier that is not known is left out.

    Attributes:
        key: by which BibTeX cites it.
        authors: each as `Family, Given`; an organisation by its name alone.
        title: as published.
        year: of the publication in `venue`.
        venue: proceedings, journal, or whatever published it.
        kind: how BibTeX calls such a publication.
        arxiv: number of the preprint.
        doi: of the publication.
        url: where it has neither of them.
    """

    key: str
    authors: tuple[str, ...]
    title: str
    year: int
    venue: str
    kind: Literal["inproceedings", "article", "misc"] = "inproceedings"
    arxiv: str = ""
    doi: str = ""
    url: str = ""


def authors(names: str) -> tuple[str, ...]:
    """Authors of a paper from one text, with semicolons between them."""
    return tuple(names.split("; "))


# ----------------------------------------------------------------------------------------------- federations

FEDAVG = Paper(
    "mcmahan2017fedavg",
    authors("McMahan, H. Brendan; Moore, Eider; Ramage, Daniel; Hampson, Seth; Agüera y Arcas, Blaise"),
    "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    2017,
    "AISTATS",
    arxiv="1602.05629",
)
FEDPROX = Paper(
    "li2020fedprox",
    authors("Li, Tian; Sahu, Anit Kumar; Zaheer, Manzil; Sanjabi, Maziar; Talwalkar, Ameet; Smith, Virginia"),
    "Federated Optimization in Heterogeneous Networks",
    2020,
    "MLSys",
    arxiv="1812.06127",
)
ADAPTIVE_OPTIMIZATION = Paper(
    "reddi2021adaptive",
    authors(
        "Reddi, Sashank J.; Charles, Zachary; Zaheer, Manzil; Garrett, Zachary; Rush, Keith; Konečný, Jakub; "
        "Kumar, Sanjiv; McMahan, H. Brendan"
    ),
    "Adaptive Federated Optimization",
    2021,
    "ICLR",
    arxiv="2003.00295",
)
ADAM = Paper(
    "kingma2015adam",
    authors("Kingma, Diederik P.; Ba, Jimmy"),
    "Adam: A Method for Stochastic Optimization",
    2015,
    "ICLR",
    arxiv="1412.6980",
)
SYSTEM_DESIGN = Paper(
    "bonawitz2019scale",
    authors(
        "Bonawitz, Keith; Eichner, Hubert; Grieskamp, Wolfgang; Huba, Dzmitry; Ingerman, Alex; "
        "Ivanov, Vladimir; Kiddon, Chloé; Konečný, Jakub; Mazzocchi, Stefano; McMahan, H. Brendan; "
        "Van Overveldt, Timon; Petrou, David; Ramage, Daniel; Roselander, Jason"
    ),
    "Towards Federated Learning at Scale: System Design",
    2019,
    "MLSys",
    arxiv="1902.01046",
)
FEDASYNC = Paper(
    "xie2019fedasync",
    authors("Xie, Cong; Koyejo, Oluwasanmi; Gupta, Indranil"),
    "Asynchronous Federated Optimization",
    2019,
    "arXiv preprint",
    kind="misc",
    arxiv="1903.03934",
)
FEDBUFF = Paper(
    "nguyen2022fedbuff",
    authors(
        "Nguyen, John; Malik, Kshitiz; Zhan, Hongyuan; Yousefpour, Ashkan; Rabbat, Michael; Malek, Mani; "
        "Huba, Dzmitry"
    ),
    "Federated Learning with Buffered Asynchronous Aggregation",
    2022,
    "AISTATS",
    arxiv="2106.06639",
)
TIFL = Paper(
    "chai2020tifl",
    authors(
        "Chai, Zheng; Ali, Ahsan; Zawad, Syed; Truex, Stacey; Anwar, Ali; Baracaldo, Nathalie; Zhou, Yi; "
        "Ludwig, Heiko; Yan, Feng; Cheng, Yue"
    ),
    "TiFL: A Tier-based Federated Learning System",
    2020,
    "HPDC",
    arxiv="2001.09249",
)
OORT = Paper(
    "lai2021oort",
    authors("Lai, Fan; Zhu, Xiangfeng; Madhyastha, Harsha V.; Chowdhury, Mosharaf"),
    "Oort: Efficient Federated Learning via Guided Participant Selection",
    2021,
    "OSDI",
    arxiv="2010.06081",
)
POWER_OF_CHOICE = Paper(
    "cho2020powerofchoice",
    authors("Cho, Yae Jee; Wang, Jianyu; Joshi, Gauri"),
    "Client Selection in Federated Learning: Convergence Analysis and Power-of-Choice Selection Strategies",
    2020,
    "arXiv preprint",
    kind="misc",
    arxiv="2010.01243",
)

# ------------------------------------------------------------------------------------------------ sub-models

FEDPMT = Paper(
    "wu2025fedpmt",
    authors("Wu, Hongda; Wang, Ping; Narayana, C V Aswartha"),
    "Straggler-resilient Federated Learning: Tackling Computation Heterogeneity with Layer-wise Partial "
    "Model Training in Mobile Edge Network",
    2025,
    "IEEE Transactions on Network Science and Engineering",
    kind="article",
    arxiv="2311.10002",
    doi="10.1109/TNSE.2025.3577910",
)
FEDDROP = Paper(
    "wen2022feddrop",
    authors("Wen, Dingzhu; Jeon, Ki-Jun; Huang, Kaibin"),
    "Federated Dropout -- A Simple Approach for Enabling Federated Learning on Resource Constrained Devices",
    2022,
    "IEEE Wireless Communications Letters",
    kind="article",
    arxiv="2109.15258",
)
FEDERATED_DROPOUT = Paper(
    "caldas2018dropout",
    authors("Caldas, Sebastian; Konečný, Jakub; McMahan, H. Brendan; Talwalkar, Ameet"),
    "Expanding the Reach of Federated Learning by Reducing Client Resource Requirements",
    2018,
    "arXiv preprint",
    kind="misc",
    arxiv="1812.07210",
)
SUBMODEL_STABILITY = Paper(
    "deng2025submodel",
    authors("Deng, Yuyang; Qiao, Fuli; Mahdavi, Mehrdad"),
    "On the Convergence and Stability of Distributed Sub-model Training",
    2025,
    "arXiv preprint",
    kind="misc",
    arxiv="2511.06132",
)
IST = Paper(
    "yuan2022ist",
    authors(
        "Yuan, Binhang; Wolfe, Cameron R.; Dun, Chen; Tang, Yuxin; Kyrillidis, Anastasios; Jermaine, Chris"
    ),
    "Distributed Learning of Fully Connected Neural Networks using Independent Subnet Training",
    2022,
    "Proceedings of the VLDB Endowment",
    kind="article",
    arxiv="1910.02120",
)
IST_THEORY = Paper(
    "shulgin2024ist",
    authors("Shulgin, Egor; Richtárik, Peter"),
    "Towards a Better Theoretical Understanding of Independent Subnetwork Training",
    2024,
    "ICML",
    arxiv="2306.16484",
)
FEDGMR = Paper(
    "ma2025fedgmr",
    authors("Ma, Chengjie; Oh, Seungeun; Park, Jihong; Kim, Seong-Lyun"),
    "FedGMR: Federated Learning with Gradual Model Restoration under Asynchrony and Model Heterogeneity",
    2025,
    "arXiv preprint",
    kind="misc",
    arxiv="2512.05372",
)
HETEROFL = Paper(
    "diao2021heterofl",
    authors("Diao, Enmao; Ding, Jie; Tarokh, Vahid"),
    "HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous Clients",
    2021,
    "ICLR",
    arxiv="2010.01264",
)
FEDROLEX = Paper(
    "alam2022fedrolex",
    authors("Alam, Samiul; Liu, Luyang; Yan, Ming; Zhang, Mi"),
    "FedRolex: Model-Heterogeneous Federated Learning with Rolling Sub-Model Extraction",
    2022,
    "NeurIPS",
    arxiv="2212.01548",
)
FJORD = Paper(
    "horvath2021fjord",
    authors(
        "Horváth, Samuel; Laskaridis, Stefanos; Almeida, Mario; Leontiadis, Ilias; Venieris, Stylianos I.; "
        "Lane, Nicholas D."
    ),
    "FjORD: Fair and Accurate Federated Learning under heterogeneous targets with Ordered Dropout",
    2021,
    "NeurIPS",
    arxiv="2102.13451",
)
FIARSE = Paper(
    "wu2024fiarse",
    authors("Wu, Feijie; Wang, Xingchen; Wang, Yaqing; Liu, Tianci; Su, Lu; Gao, Jing"),
    "FIARSE: Model-Heterogeneous Federated Learning via Importance-Aware Submodel Extraction",
    2024,
    "NeurIPS",
    arxiv="2407.19389",
)

# ------------------------------------------------------------------------------------------- models and data

LEAF = Paper(
    "caldas2018leaf",
    authors(
        "Caldas, Sebastian; Duddu, Sai Meher Karthik; Wu, Peter; Li, Tian; Konečný, Jakub; "
        "McMahan, H. Brendan; Smith, Virginia; Talwalkar, Ameet"
    ),
    "LEAF: A Benchmark for Federated Settings",
    2018,
    "arXiv preprint",
    kind="misc",
    arxiv="1812.01097",
)
