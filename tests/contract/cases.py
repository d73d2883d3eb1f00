"""Tiny trainings, one a network: real code on simulated images, a few seconds each."""

CASES = {
    "unet": {
        "2d": {
            "dataset": "sim_segment_2d",
            "patch_size": (32, 32),
            "depth": 2,
            "filters": 8,
            "batch_size": 4,
            "patches_per_image": 4,
            "dropout": 0.2,
            "elastic": 2.0,
        },
        "3d": {
            "dataset": "sim_segment_3d",
            "patch_size": (8, 32, 32),
            "depth": 2,
            "filters": 4,
            "batch_size": 2,
            "patches_per_image": 2,
        },
    },
}
"""Parameters by network and dimension. A network without an entry fails the contract."""
