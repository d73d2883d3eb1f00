# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** fnet learns from images of the same field, taken once in transmitted light (bright field, phase contrast, DIC) and once in fluorescence. Afterwards it predicts the fluorescence from transmitted light alone: nuclei, membranes or several stains at once, without dye, bleaching or light damage. It works on single images (2D) and on stacks (3D), with any number of channels and any bit depth, and from a stack of one channel to a single plane.
#
# **What it cannot do.** It sees only what leaves a trace in transmitted light. How *much* of a protein a cell carries leaves none: the brightness it paints is the usual one of your training images. Never measure an expression level, or look for a rare phenotype, in a predicted image.
#
# **When to choose it.** To find or outline structures in live cells without staining them, or to free a channel of the microscope. It learns the mean of what is possible, so its images are soft where it is unsure; that is honest. If you want images that look real, the pix2pix notebook paints them, and invents more. Try plain regression first: section 6 tells you whether the network is better on *your* images.
#
# **What you need.** About 10 to 40 pairs of images that show the same field pixel by pixel. Stacks count for many images.
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
nb = Notebook("fnet")

# %% [markdown]
# ## 2 Your images
#
# Put the transmitted-light images into one folder and the fluorescence images into another, with the same file names:
#
# ```
# my_project/
#   light/     field_01.tif   field_02.tif   ...
#   nuclei/    field_01.tif   field_02.tif   ...
#   membrane/  field_01.tif   field_02.tif   ...   (a second stain, if there is one)
# ```
#
# **Several stains** are learned at once: write their folders one after the other, `nuclei;membrane`, and each becomes a channel of the prediction. **A stack for one plane:** where a focus stack in transmitted light belongs to a single fluorescence plane (or a projection), set `axes` to `CYX`: the planes become channels. Section 7 then needs stacks with the same number of planes, in the same order and at the same spacing.
#
# The two images of a pair have the same size; bit depth may differ. Transmitted light and fluorescence often take different ways through the microscope: the check below measures how far they are shifted.
#
# {{include: _shared/images.md}}

# %% Parameters tags=["parameters"]
params = {
    "dataset": "sim_translate_2d",  # example data; your own folders below take its place
    "source": "",  # folder of transmitted-light images
    "target": "",  # folder of fluorescence images; several separated by ;
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
# Look at the pairs: is the bright structure below where you would expect it from the image above? Where you yourself see no trace of it, the network may not either.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# The values below were filled in from your images, with the reason beside each. Leave them as they are for the first training. What usually pays off later: more `epochs` while the validation loss still falls, and more pairs. Every transmitted-light image is scaled to mean 0 and standard deviation 1, as in the publication; fluorescence images are all scaled alike, so that predictions come back in their units. Take all of them with the same exposure.

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
# {{include: _shared/train.md}}

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
# {{include: _shared/use.md}} Predicted images have the brightness units of your fluorescence images, with 32 bits.

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
