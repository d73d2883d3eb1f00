"""Arrays to numbers, one file a task.

``segmentation`` and ``images`` score one image, ``distributions`` sets of images without partners;
``statistics`` turns the scores of many images into intervals, a verdict and a sentence. Nothing here knows
of networks, files or plots.
"""
