# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** CycleGAN learns from two sets of images that have nothing to do with each other how to turn one kind into the other, and back: stained tissue into fluorescence, one microscope's images into those of another, simulated into real. Nobody has to take pairs. Two networks translate, two judges learn to tell true images from made ones, and an image that is translated there and back must be the image that it was. Any number of channels on either side, 8, 16 or 32 bit; planes, not volumes.
#
# **What it cannot do.** It learns what the other kind of image *looks like*, not what is in your sample. It may add, remove or move structures, and hide in its result what the way back needs. **A translation that looks good proves nothing.** Never count or measure in translated images without checking on pairs that counts and measures come out right.
#
# **When to choose it.** When there are no pairs and none can be taken; to make one microscope's images look like another's before a program that knows only those; to make training images look real. If you have pairs, even a few dozen, the pix2pix and fnet notebooks learn far more from them.
#
# **What you need.** About 50 to several hundred images of each kind. Both sets should show the same things, equally often and equally large: if one holds crowded cells and the other sparse ones, the network learns to add or remove cells.
#
# {{include: _shared/which_sections.md}}

# %% [markdown]
# ## 1 Start
#
# {{include: _shared/start.md}}

# %% Install
import importlib.util
if importlib.util.find_spec("zcdl_common") is None:
    {{install}}

# %% Start
from zcdl_common.notebook import Notebook
nb = Notebook("cyclegan")

# %% [markdown]
# ## 2 Your images
#
# Put the images of either kind into a folder of their own; names and numbers need not match:
#
# ```
# my_project/
#   stained/       slide_a.png   slide_b.png   ...
#   fluorescent/   field_01.tif  field_02.tif  ...
# ```
#
# Several folders separated by `;` become channels, on either side. **Test images** that do have partners are worth a lot: put them into two more folders (`test_source`, `test_target`) under equal names, and section 6 compares every translation with its truth.
#
# {{include: _shared/images.md}}

# %% Parameters tags=["parameters"]
params = {
    "dataset": "sim_unpaired",  # example data; your own folders below take its place
    "source": "",  # folder of images of one kind
    "target": "",  # folder of images of the other kind
    "results": "",  # empty: on your Drive in Colab, else ./zcdl_runs
    "name": "",  # empty: network and date
}

# %% Choose the images
nb.images(params)

# %% [markdown]
# The check reads every file of both folders and names those that would spoil the training: different channels, empty or saturated images, copies of one image. Read what it says: an hour spent here saves a day later. Your files are never changed.

# %% Check the images
nb.check()

# %% [markdown]
# Above images of one kind, below of the other; they do not belong together. Do both show the same things, equally large (in pixels) and equally crowded? What differs between the sets is what the network learns to change.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# The values below were filled in from your images, with the reason beside each. Leave them as they are for the first training. The loss has three parts: looking real to the judges; the *way back*, which keeps the content; and, where both kinds have as many channels, *leaving alone* what is already of the other kind, which keeps the colours. A GPU is almost a must: on a CPU expect minutes for small images and hours for good results.

# %% Settings
nb.settings()

# %% [markdown]
# {{include: _shared/turned.md}}

# %% Preview
nb.preview()

# %% [markdown]
# ## 4 Starting weights
#
# {{include: _shared/weights.md}}

# %% Starting weights
nb.starting_weights()

# %% [markdown]
# ## 5 Train
#
# Watch the pictures rather than the numbers. The losses of such networks rise and fall against each other and do not say how good the images are. The **validation loss** is what is lost on the way there and back; it falls even while the images look wrong. No epoch is picked by it: the weights of the last one are used. {{include: _shared/kept.md}}
#
# {{include: _shared/stop.md}}

# %% Train
nb.train()

# %% [markdown]
# ## 6 Quality control
#
# {{include: _shared/judge.md}}
#
# There is no truth to compare with, so the question is whether the results look like images of the other kind. **Distance from real images** decides: how unlike them an image looks in texture and brightness. Other real images of that kind have about 1. What the network makes of the test images should come near that, and stay below the classical method, which transfers colours and brightness alone. **Distance of the sets** sees what single images do not: results that are all the same. **Cycle error** is what is lost on the way there and back, in parts of the brightness range.
#
# None of these numbers sees whether the result shows what is in the sample. Where test images have partners of the same name, Pearson's r, PSNR, SSIM and NRMSE do. Elsewhere your eyes must: compare source and translation structure by structure, and look at `quality_control/maps`: what came back (`*_back.tif`), and where the translation changes as the image is turned (`*_disagreement.tif`).
#
# Only one direction is judged at a time. For the other one set `direction` to `target to source` in section 7 (in a terminal: `--set direction="target to source"`) and run this section again; its results go to `quality_control/back`.

# %% Quality control
nb.judge()

# %% [markdown]
# ## 7 Use on new images
#
# {{include: _shared/new_images.md}} Translated images have the brightness units of the other kind, with 32 bits. Both directions were learned: set `direction` to `target to source` for the way back.
#
# Every image is normalised as a whole. Large ones are cut into tiles that share one normalisation, so no seams show. The result is not quite that of one piece: where parts of an image differ much from each other, by up to about 15 % of the contrast.

# %% Choose model and images
nb.use()

# %% Predict
nb.predict()

# %% [markdown]
# ## 8 Export
#
# {{include: _shared/export.md}}

# %% Name and licence
nb.package()

# %% Export
nb.export()

# %% [markdown]
# ## Cite, licence, help
#
# {{include: _shared/cite.md}}
