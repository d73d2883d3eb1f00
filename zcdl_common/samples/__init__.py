"""Sample images that need no internet: simulated with known ground truth, or bundled in a package.

A simulator is a function ``(rng, shape, pixel_size) -> (source, target)``. The physics it follows
stands in its docstring with the source. ``datasets.yaml`` names the simulators with their
seeds and sizes; ``zcdl_common.datasets`` turns them into folders of files.
"""
