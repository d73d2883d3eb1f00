"""Arrays to numbers, one file a task.

``segmentation``, ``instances`` and ``images`` score one image, ``detection`` and ``distributions`` sets of
images; ``statistics`` turns the scores of many images into intervals, a verdict and a sentence. Nothing here
knows of networks, files or plots.
"""
