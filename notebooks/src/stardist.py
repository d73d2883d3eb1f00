# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** StarDist finds every single object in your images (nuclei, round cells, bacteria) and outlines it, also where objects touch. For each place it learns how likely an object is centred there, and how far its border is in many directions; the surest of these star-shaped outlines are kept. It works on single images (2D) and on stacks (3D), with any number of channels and any bit depth.
#
# **What it cannot do.** An object must be roundish: from one point inside, you must be able to see all of its border. Branched cells, filaments, and strongly bent or very long shapes come out cut or rounded off. Objects of quite another size, in pixels, than those you trained with are missed or torn apart: scale such images first.
#
# **When to choose it.** When you want to count or measure single objects that are crowded. Where objects never touch, or where you want areas rather than objects, the U-Net notebook is the simpler choice. Compare with the classical method (threshold and watershed): section 6 does so on *your* images.
#
# **What you need.** About 10 to 50 images with at least a few hundred objects in all, every one of them outlined. Objects that are not annotated teach the network to overlook others like them.
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
nb = Notebook("stardist")

# %% [markdown]
# ## 2 Your images
#
# Put the images into one folder and the labels into another, with the same file names:
#
# ```
# my_project/
#   images/   field_01.tif   field_02.tif   ...
#   labels/   field_01.tif   field_02.tif   ...
# ```
#
# In a label image the background is 0 and every object has a number of its own, in whatever order. **How to make them:** in Fiji outline the objects with the freehand tool, press `T` for each, and save them in the ROI manager as a zip file named like the image: such zip files are taken as they are, one for each image. Or use *Labkit* or *napari* and save the label image. Outline *every* object in the field, also those cut by the border; a smaller field done completely is worth more than a large one done in part.
#
# {{include: _shared/images.md}}

# %% Parameters tags=["parameters"]
params = {
    "dataset": "sim_instances_2d",  # example data; your own folders below take its place
    "source": "",  # folder of images
    "target": "",  # folder of label images or ROI zip files
    "results": "",  # empty: on your Drive in Colab, else ./zcdl_runs
    "name": "",  # empty: network and date
}

# %% Choose the images
nb.images(params)

# %% [markdown]
# The check reads every file and names those that would spoil the training: missing partners, black-and-white masks in which touching objects have become one, objects in several pieces, fields with objects that nobody outlined. {{include: _shared/check.md}}

# %% Check the images
nb.check()

# %% [markdown]
# Look at the labels: has every object an outline of its own, and do neighbours have different colours? Two touching objects in one colour teach the network to join them.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# The values below were filled in from your labels, with the reason beside each. Leave them as they are for the first training. The *grid* is the most useful one to know: the network answers for every second (or fourth) pixel, which makes it faster and lets it see larger objects whole; with very small objects that touch, a finer grid tells them apart better.

# %% Settings
nb.settings()

# %% [markdown]
# **Augmentation** shows the network mirrored, turned, brighter and noisier copies of your images, so that fewer annotated ones suffice. Look at the copies: each should still look like an image that your microscope could have taken. Switch off what never happens to your images.

# %% Preview
nb.preview()

# %% [markdown]
# ## 4 Starting weights
#
# {{include: _shared/weights.md}} StarDist also takes its own ready-made models by name: `2D_versatile_fluo` (fluorescent nuclei), `2D_versatile_he` (stained tissue in colour) and `3D_demo`, or any model folder that StarDist wrote.
#
# Models that are at hand are tried out here, untrained on your images, beside the classical method: on the validation images, so that the test images stay unseen. If one does well enough for what you want to measure, you may need no training at all; with 30 training images or fewer, begin with the best one.

# %% Starting weights
nb.starting_weights()

# %% [markdown]
# ## 5 Train
#
# {{include: _shared/train.md}} In the beginning the network finds no object at all; the first ones appear after some epochs, and outlines become better long after all objects are found.

# %% Train
nb.train()

# %% [markdown]
# ## 6 Quality control
#
# {{include: _shared/judge.md}}
#
# A found object counts when it covers the same pixels as a true one: the overlap (IoU) is the area that both share over the area that either covers. **AP at 0.5** is the share of right objects among all that were found, missed or invented, with an overlap of at least one half; **AP at 0.7** asks for good outlines. **PQ** joins finding and outlining in one number. Look at the bias of *count* and *size* too: these are what you will publish. Before the test, the two thresholds (how sure the network must be, and how much objects may overlap) are chosen on the validation images.

# %% Quality control
nb.judge()

# %% [markdown]
# ## 7 Use on new images
#
# {{include: _shared/use.md}} New images should have the same pixel size as the training images. If too few objects come out, lower the *probability threshold*; if too many, raise it.
#
# Each image becomes a label image and two companions; of a movie, the label images are one file. **`_objects.csv`** is a table with a row an object: its number in the label image (`label`), its centre (`y_px`, `x_px`), its size (`area_px`, in 3D `volume_px`), the box around it, the mean, least and largest intensity inside, and how sure the network was (`score`); columns ending in `_um` are in micrometres, where the pixel size is known. **`_RoiSet.zip`** (2D images) holds the outlines: drop it on Fiji after the image, and the ROI Manager opens. **`_trackmate.csv`** (movies, in place of the outlines) holds one spot an object, with `x`, `y`, `z`, `frame`, `radius` and `quality`: open it in Fiji with TrackMate's CSV importer to follow objects through time.

# %% Choose model and images
nb.use()

# %% Predict
nb.predict()

# %% [markdown]
# ## 8 Export
#
# {{include: _shared/export.md}} For Fiji's own StarDist plugin take `tf_saved_model.zip` out of the package; the table lists the values to type there.

# %% Name and licence
nb.package()

# %% Export
nb.export()

# %% [markdown]
# ## Cite, licence, help
#
# {{include: _shared/cite.md}}
