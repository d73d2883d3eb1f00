"""The kinds of target that networks share."""

from zcdl_common.task import Task

SEGMENT = Task(
    name="segment",
    annotations="zcdl_common.masks:open_masks",
    target="zcdl_common.segmenting:class_image",
    facts="zcdl_common.segmenting:mask_facts",
    scores="zcdl_common.segmenting:scores",
    baseline="zcdl_common.segmenting:baseline",
    outputs="zcdl_common.segmenting:outputs",
    stream="zcdl_common.segmenting:mask_output",
    error_maps="zcdl_common.segmenting:error_maps",
    decoding={"threshold": 0.5},
    settings="zcdl_common.segmenting:choose_threshold",
    picture="zcdl_common.plots:draw_segmentation",
    zoo_name="semantic-segmentation",
    source_label="images",
    target_label="masks",
)
