"""The kinds of target that networks share."""

from dataclasses import replace

from zcdl_common.task import Task

RESTORE = Task(
    name="restore",
    annotations="zcdl_common.restoring:open_images",
    target="zcdl_common.restoring:clean_image",
    facts="zcdl_common.restoring:image_facts",
    scores="zcdl_common.restoring:scores",
    baseline="zcdl_common.restoring:baseline",
    outputs="zcdl_common.restoring:outputs",
    stream="zcdl_common.restoring:image_output",
    error_maps="zcdl_common.restoring:error_maps",
    picture="zcdl_common.plots:draw_restoration",
    error_picture="zcdl_common.plots:draw_difference",
    plane_scores="zcdl_common.restoring:plane_scores",
    zoo_name="image-restoration",
    source_label="noisy images",
    target_label="clean images",
    drawn=False,
    input_is_prediction=True,
)

INSTANCES = Task(
    name="instances",
    annotations="zcdl_common.masks:open_masks",
    target="zcdl_common.labelling:label_image",
    facts="zcdl_common.labelling:label_facts",
    scores="zcdl_common.labelling:scores",
    baseline="zcdl_common.labelling:baseline",
    outputs="zcdl_common.labelling:outputs",
    files="zcdl_common.labelling:files",
    stream="zcdl_common.labelling:label_output",
    error_maps="zcdl_common.labelling:error_maps",
    picture="zcdl_common.plots:draw_instances",
    error_picture="zcdl_common.plots:draw_instance_errors",
    decoding={"prob_thresh": 0.5, "nms_thresh": 0.4},
    settings="zcdl_common.thresholds:choose_thresholds",
    owned="labels",
    zoo_name="instance-segmentation",
    source_label="images",
    target_label="label images",
)

DENOISE = replace(
    RESTORE,
    name="denoise",
    facts="zcdl_common.denoising:noise_facts",
    scores="zcdl_common.denoising:scores",
    baseline="zcdl_common.denoising:baseline",
    error_maps="zcdl_common.denoising:error_maps",
    needs_target=False,
)

DETECT = Task(
    name="detect",
    annotations="zcdl_common.boxes.annotations:open_boxes",
    target="zcdl_common.detecting:boxes_of",
    facts="zcdl_common.detecting:box_facts",
    scores="zcdl_common.detecting:scores",
    set_scores="zcdl_common.detecting:set_scores",
    set_comparison="zcdl_common.detecting:set_comparison",
    baseline="zcdl_common.detecting:baseline",
    outputs="zcdl_common.detecting:outputs",
    files="zcdl_common.detections:files",
    gathered="zcdl_common.detections:gather",
    figures="zcdl_common.detections:figures",
    stream="",
    error_maps="zcdl_common.detecting:error_maps",
    picture="zcdl_common.plots:draw_boxes",
    error_picture="zcdl_common.plots:draw_box_errors",
    decoding={"confidence": 0.5, "nms_iou": 0.5},
    settings="zcdl_common.detecting:choose_settings",
    owned="boxes",
    zoo_name="object-detection",
    source_label="images",
    target_label="annotations",
)

LOCALISE = Task(
    name="localise",
    annotations="",
    target="zcdl_common.localising:points_of",
    facts="zcdl_common.localising:point_facts",
    scores="zcdl_common.localising:scores",
    set_scores="zcdl_common.localising:set_scores",
    set_comparison="zcdl_common.localising:set_comparison",
    baseline="zcdl_common.localising:baseline",
    outputs="zcdl_common.localising:outputs",
    files="zcdl_common.localised:files",
    figures="zcdl_common.localised:figures",
    stream="",
    error_maps="zcdl_common.localising:error_maps",
    picture="zcdl_common.plots:draw_positions",
    error_picture="zcdl_common.plots:draw_position_errors",
    decoding={"threshold": 0.5},
    settings="zcdl_common.localising:choose_settings",
    zoo_name="object-detection",
    source_label="frames",
    target_label="localisation tables",
    drawn=False,
    needs_target=False,
)

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
    error_picture="zcdl_common.plots:draw_errors",
    zoo_name="semantic-segmentation",
    source_label="images",
    target_label="masks",
)

TRANSLATE = replace(
    RESTORE,
    name="translate",
    target="zcdl_common.translating:target_image",
    facts="zcdl_common.translating:range_facts",
    scores="zcdl_common.translating:scores",
    baseline="zcdl_common.translating:baseline",
    error_maps="zcdl_common.translating:error_maps",
    plane_scores="zcdl_common.translating:plane_scores",
    turned=True,
    without_partners="Images without partners are for the CycleGAN notebook.",
    zoo_name="image-reconstruction",
    source_label="source images",
    target_label="target images",
)

UNPAIRED = replace(
    TRANSLATE,
    name="unpaired",
    annotations="",
    facts="zcdl_common.unpaired:domain_facts",
    scores="zcdl_common.unpaired:scores",
    set_scores="zcdl_common.unpaired:set_scores",
    reference="zcdl_common.unpaired:reference",
    baseline="zcdl_common.unpaired:baseline",
    error_maps="zcdl_common.unpaired:error_maps",
    paired=False,
    plane_scores="",
    target_label="images of the other kind",
)

LABEL_FREE = replace(
    TRANSLATE,
    facts="zcdl_common.translating:standard_facts",
    source_label="transmitted-light images",
    target_label="fluorescence images",
    stained=True,
)
