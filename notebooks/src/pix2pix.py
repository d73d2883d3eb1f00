# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** pix2pix learns from pairs of images of the same field how to turn one kind into the other: bright field into fluorescence, one stain into another, outlines into images. A second network, the judge, learns at the same time to tell true images from made ones, so the results look crisp and real. Any number of channels in and out, 8, 16 or 32 bit; planes, not volumes.
#
# **What it cannot do.** It paints what *looks* real, not what is there. Where the source does not show a structure, it is invented from the training images, as crisp as the rest. Never count or measure what only the translated image shows, and never show one without saying what it is.
#
# **When to choose it.** To see what a stain would look like, or to make images that another program expects. If you want the most probable brightness of every pixel, take the fnet notebook: softer, and nearer to the truth in numbers. If you have no pairs, the CycleGAN notebook. Try plain regression first: section 6 tells you whether the network is better on *your* images.
#
# **What you need.** About 20 to 200 pairs of images that show the same field pixel by pixel.
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
nb = Notebook("pix2pix")

# %% [markdown]
# ## 2 Your images
#
# Put the images you have into one folder and the images you want into another, with the same file names:
#
# ```
# my_project/
#   actin/         field_01.tif   field_02.tif   ...
#   mitochondria/  field_01.tif   field_02.tif   ...
# ```
#
# Several folders separated by `;` become channels, on either side. The two images of a pair have the same size, which need not be a power of two; bit depth may differ. The check below measures how far they are shifted: half a pixel already blurs what is learned.
#
# {{include: _shared/images.md}}

# %% Parameters tags=["parameters"]
params = {
    "dataset": "sim_translate_2d",  # example data; your own folders below take its place
    "source": "",  # folder of the images you have
    "target": "",  # folder of the images you want
    "results": "",  # empty: on your Drive in Colab, else ./zcdl_runs
    "name": "",  # empty: network and date
}

# %% Choose the images
nb.images(params)

# %% [markdown]
# {{include: _shared/check_pairs.md}}

# %% Check the images
nb.check()

# %% [markdown]
# Look at the pairs: is what the lower image shows at least hinted at in the upper one? What is not will be invented.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# The values below were filled in from your images, with the reason beside each. Leave them as they are for the first training. The loss has two parts: the difference to the true image, and looking real to the judge. The *weight of the difference* (100 in the publication) says how much the first counts: less of it looks livelier and invents more.

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
# The losses of such a pair of networks rise and fall against each other and do not say how good the images are. So the validation images, which are not learned from, are translated after every epoch: their **Pearson's r** is what to watch. While it rises, training helps; the weights with the highest one are used. {{include: _shared/kept.md}}
#
# {{include: _shared/stop.md}}

# %% Train
nb.train()

# %% [markdown]
# ## 6 Quality control
#
# {{include: _shared/judge.md}}
#
# {{include: _shared/pearson.md}}
#
# {{include: _shared/unsure.md}}

# %% Quality control
nb.judge()

# %% [markdown]
# ## 7 Use on new images
#
# {{include: _shared/use.md}} Translated images have the brightness units of your target images, with 32 bits.

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
