"""Tiny trainings, one a network: real code on simulated images, a few seconds each."""

CASES = {
    "cyclegan": {
        "2d": {
            "dataset": "sim_unpaired",
            "patch_size": (32, 32),
            "filters": 4,
            "blocks": 2,
            "batch_size": 2,
            "patches_per_image": 2,
            "pool_size": 6,
        },
    },
    "fnet": {
        "2d": {
            "dataset": "sim_translate_2d",
            "patch_size": (32, 32),
            "depth": 2,
            "filters": 8,
            "batch_size": 4,
            "patches_per_image": 4,
            "elastic": 2.0,
        },
        "3d": {
            "dataset": "sim_translate_3d",
            "patch_size": (8, 32, 32),
            "depth": 2,
            "filters": 4,
            "batch_size": 2,
            "patches_per_image": 2,
        },
    },
    "deepstorm": {
        "2d": {
            "dataset": "sim_localise",
            "density": (0.4, 1.2),
            "photons": (300, 3000),
            "background": (12, 18),
            "sigma_nm": (125, 135),
            "patch_size": (16, 16),
            "upsampling": 4,
            "filters": 4,
            "batch_size": 4,
            "patches_per_image": 1,
        },
    },
    "care": {
        "2d": {
            "dataset": "sim_restore_2d",
            "patch_size": (32, 32),
            "depth": 1,
            "filters": 8,
            "batch_size": 4,
            "patches_per_image": 4,
            "loss": "laplace",
            "scale": 0.1,
        },
        "3d": {
            "dataset": "sim_restore_3d",
            "patch_size": (8, 16, 16),
            "depth": 1,
            "filters": 4,
            "batch_size": 2,
            "patches_per_image": 2,
        },
    },
    "noise2void": {
        "2d": {
            "dataset": "sim_noise2void_2d",
            "patch_size": (32, 32),
            "n2v2": True,
            "batch_norm": True,
            "structured_noise": "x",
            "masked_share": 0.02,
            "filters": 8,
            "batch_size": 4,
            "patches_per_image": 4,
        },
        "3d": {
            "dataset": "sim_noise2void_3d",
            "patch_size": (8, 16, 16),
            "masked_share": 0.02,
            "depth": 1,
            "filters": 4,
            "batch_size": 2,
            "patches_per_image": 2,
        },
    },
    "pix2pix": {
        "2d": {
            "dataset": "sim_translate_2d",
            "patch_size": (64, 64),
            "depth": 4,
            "filters": 8,
            "batch_size": 4,
            "patches_per_image": 4,
            "keep_every": 1,
        },
    },
    "stardist": {
        "2d": {
            "dataset": "sim_instances_2d",
            "patch_size": (64, 64),
            "depth": 1,
            "filters": 8,
            "n_rays": 8,
            "batch_size": 4,
            "patches_per_image": 4,
            "elastic": 2.0,
        },
        "3d": {
            "dataset": "sim_instances_3d",
            "patch_size": (8, 32, 32),
            "depth": 1,
            "filters": 4,
            "n_rays": 8,
            "batch_size": 2,
            "patches_per_image": 2,
        },
    },
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
    "yolo": {
        "2d": {
            "dataset": "sim_detect",
            "patch_size": (64, 64),
            "downscaling_in_xy": 1,
            "finest_grid": 8,
            "batch_size": 4,
            "patches_per_image": 1,
        },
    },
}
"""Parameters by network and dimension. A network without an entry fails the contract."""

FORMATS = {
    "torch": ("pytorch_state_dict", "torchscript", "onnx"),
    "tensorflow": ("onnx", "keras_hdf5", "tensorflow_saved_model_bundle"),
}
"""Weight formats of a package, by backend."""
