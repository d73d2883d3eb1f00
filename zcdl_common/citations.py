"""Publications in full, by DOI."""

from __future__ import annotations

ZEROCOST = "10.1038/s41467-021-22518-0"
MODEL_ZOO = "10.1101/2022.06.07.495102"

CITATIONS = {
    "10.1007/978-3-319-24574-4_28": (
        "Ronneberger O, Fischer P, Brox T (2015). U-Net: convolutional networks for biomedical image "
        "segmentation. MICCAI 2015, LNCS 9351, 234–241."
    ),
    "10.1007/978-3-319-46723-8_49": (
        "Çiçek Ö, Abdulkadir A, Lienkamp SS, Brox T, Ronneberger O (2016). 3D U-Net: learning dense "
        "volumetric segmentation from sparse annotation. MICCAI 2016, LNCS 9901, 424–432."
    ),
    "10.1007/978-3-030-00934-2_30": (
        "Schmidt U, Weigert M, Broaddus C, Myers G (2018). Cell detection with star-convex polygons. "
        "MICCAI 2018, LNCS 11071, 265–273."
    ),
    "10.1109/WACV45572.2020.9093435": (
        "Weigert M, Schmidt U, Haase R, Sugawara K, Myers G (2020). Star-convex polyhedra for 3D "
        "object detection and segmentation in microscopy. WACV 2020, 3655–3662."
    ),
    "10.1038/s41592-018-0216-7": (
        "Weigert M, Schmidt U, Boothe T, et al. (2018). Content-aware image restoration: pushing the "
        "limits of fluorescence microscopy. Nature Methods 15, 1090–1097."
    ),
    "10.1109/CVPR.2019.00223": (
        "Krull A, Buchholz T-O, Jug F (2019). Noise2Void: learning denoising from single noisy "
        "images. CVPR 2019, 2124–2132."
    ),
    "10.1364/OPTICA.5.000458": (
        "Nehme E, Weiss LE, Michaeli T, Shechtman Y (2018). Deep-STORM: super-resolution single-"
        "molecule microscopy by deep learning. Optica 5, 458–464."
    ),
    "10.1109/CVPR.2017.632": (
        "Isola P, Zhu J-Y, Zhou T, Efros AA (2017). Image-to-image translation with conditional "
        "adversarial networks. CVPR 2017, 5967–5976."
    ),
    "10.1109/ICCV.2017.244": (
        "Zhu J-Y, Park T, Isola P, Efros AA (2017). Unpaired image-to-image translation using cycle-"
        "consistent adversarial networks. ICCV 2017, 2242–2251."
    ),
    "10.1038/s41592-018-0111-2": (
        "Ounkomol C, Seshamani S, Maleckar MM, Collman F, Johnson GR (2018). Label-free prediction of"
        " three-dimensional fluorescence images from transmitted-light microscopy. Nature Methods 15,"
        " 917–920."
    ),
    "10.1109/CVPR.2016.91": (
        "Redmon J, Divvala S, Girshick R, Farhadi A (2016). You only look once: unified, real-time "
        "object detection. CVPR 2016, 779–788."
    ),
    "10.1109/ICCV48922.2021.00349": (
        "Feng C, Zhong Y, Gao Y, Scott MR, Huang W (2021). TOOD: task-aligned one-stage object detection. "
        "ICCV 2021, 3490–3499."
    ),
    ZEROCOST: (
        "von Chamier L, Laine RF, Jukkala J, et al. (2021). Democratising deep learning for "
        "microscopy with ZeroCostDL4Mic. Nature Communications 12, 2276."
    ),
    MODEL_ZOO: (
        "Ouyang W, Beuttenmueller F, Gómez-de-Mariscal E, et al. (2022). BioImage Model Zoo: a "
        "community-driven resource for accessible deep learning in bioimage analysis. bioRxiv."
    ),
}


def doi_url(doi: str) -> str:
    """Web address of a DOI."""
    return f"https://doi.org/{doi}"


def cite(doi: str) -> str:
    """Write a publication with its web address; of an unknown one the address alone."""
    return " ".join(filter(None, (CITATIONS.get(doi, ""), doi_url(doi))))
