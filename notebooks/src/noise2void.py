# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** Noise2Void learns to remove noise from noisy images alone: no clean partners, no pairs. It hides single pixels and learns to predict them from their surroundings. The structure of a sample can be predicted, noise that differs from pixel to pixel cannot, so what it learns to predict is the image without noise. It works on single images (2D) and on stacks (3D), with any number of channels and any bit depth.
#
# **What it cannot do.** It cannot sharpen, and it cannot remove noise that neighbouring pixels share: lines of a camera or scanner, blotches, compression, anything that was smoothed or scaled after it was recorded. It takes such noise for structure. Where the noise comes in lines, say so under *noise in lines along*. Details that are weaker than the noise are lost, as with every method.
#
# **When to choose it.** When you have noisy images and no clean ones. Where you can take pairs of a noisy and a clean image, CARE restores more. Try a classical filter first: section 6 compares with one on *your* images.
#
# **What you need.** One image can be enough; ten to fifty fields of the same experiment are better. Raw files as the camera wrote them: no JPEG, no smoothing, no scaling.
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

nb = Notebook("noise2void")

# %% [markdown]
# ## 2 Your images
#
# Put the noisy images into one folder. Nothing else is needed:
#
# ```
# my_project/
#   noisy/    field_01.tif   field_02.tif   ...
# ```
#
# **To train on the very images that you want to denoise is normal here**, and the best you can do: there is no answer in them that the network could learn by heart. Some of the images (of a single one a strip) are not learned from, so that training can be watched; they are denoised all the same. Images of another microscope, exposure or sample need a training of their own.
#
# If you do have clean images of some fields, name them: as test images, with *test targets*, or under *targets*. They are never learned from, but they tell in section 6 how good the result is.
#
# Fill in the form below the next cell, or edit the cell itself. Paths may hold spaces and quotes; a zip file is fine too.

# %% Parameters tags=["parameters"]
params = {
    "dataset": "sim_noise2void_2d",  # example data; your own folder below takes its place
    "source": "",  # folder of noisy images
    "results": "",  # empty: on your Drive in Colab, else ./zcdl_runs
    "name": "",  # empty: network and date
}

# %% Choose the images
nb.images(params)

# %% [markdown]
# The check reads every file and names those that would spoil the training: other axes or channels, empty or saturated images, brightness far from that of the others. Your files are never changed; where a finding can be mended, `nb.repair()` in a new cell writes mended copies.

# %% Check the images
nb.check()

# %% [markdown]
# Look at the noise, best at full size in Fiji: does it change from pixel to pixel? If you see lines or blotches, it is shared by neighbours, and Noise2Void will keep it.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# The values below were filled in from your images, with the reason beside each. Leave them as they are for the first training. What pays off later: more `epochs`, and **N2V2** for 2D images where the result shows a fine checkerboard. Noise in lines needs *noise in lines along* `x` (from left to right) or `y`. With several stains each channel has a network of its own, so that nothing passes over; switch that off for colour cameras.

# %% Settings
nb.settings()

# %% [markdown]
# **Augmentation** shows the network mirrored and turned copies of the patches, nothing else: every other change would interpolate pixels and smooth the noise that is to be told from structure.

# %% Preview
nb.preview()

# %% [markdown]
# ## 4 Starting weights
#
# {{include: _shared/weights.md}} A model folder that the package n2v wrote, also in the ZeroCostDL4Mic notebook of Noise2Void, does as well; where its network differs from the one planned here, the message names the settings to change.

# %% Starting weights
nb.starting_weights()

# %% [markdown]
# ## 5 Train
#
# Watch the pictures rather than the numbers. Both losses compare the prediction with *noisy* pixels, so they level off at the strength of the noise and never come near zero, however good the result; the last gains look like nothing in the curve. The **validation loss** hides the same pixels in every epoch, so it may be compared between epochs: when it has been level for long, training is done. No epoch is picked by it: the last one is kept. If it rises while the training loss falls, the network learns the noise of its few images by heart: stop, and use more images.
#
# {{include: _shared/stop.md}}

# %% Train
nb.train()

# %% [markdown]
# ## 6 Quality control
#
# Beside the network stands the best **classical filter**, tuned in the same spirit: without a truth, by predicting hidden pixels. If it does as well, use that: it is faster and easier to explain.
#
# **Without clean images** nobody can say how near the result is to the truth. What can be looked at is what was *removed* (input minus result): it should look like noise. Outlines of your structures in it mean that they were damaged. The numbers say the same: its mean, its likeness to the image (also looked at smoothed, for single pixels hide much) and the likeness of its neighbouring pixels should be near 0. A method that removes too little passes this test too, so look at the result itself. Where no test images were kept apart, the images that were learned from are looked at, and the text says so.
#
# **With clean images**, PSNR (in dB) says how small the squared error is: 3 dB more is half the error; SSIM compares local structure, 1 is equal. The brackets hold 95 % intervals; with fewer than six independent test images there are none, and the honest answer is "too few to tell".

# %% Quality control
nb.judge()

# %% [markdown]
# ## 7 Use on new images
#
# {{include: _shared/use.md}} To denoise the images that you trained on, name their folder again. Denoised images have the brightness units of the noisy ones, with 32 bits.

# %% Choose model and images
nb.use()

# %% Predict
nb.predict()

# %% [markdown]
# ## 8 Export
#
# {{include: _shared/export.md}} For Fiji's CSBDeep plugin take `csbdeep_raw.zip` out of the package: it does the scaling itself.

# %% Name and licence
nb.package()

# %% Export
nb.export()

# %% [markdown]
# ## Cite, licence, help
#
# {{include: _shared/cite.md}}
#
# With N2V2 cite also Höck E, Buchholz T-O, Brachmann A, Jug F, Freytag A (2022), [doi:10.1007/978-3-031-25069-9_33](https://doi.org/10.1007/978-3-031-25069-9_33); where lines were hidden Broaddus C, Krull A, Weigert M, Schmidt U, Myers G (2020), [doi:10.1109/ISBI45749.2020.9098336](https://doi.org/10.1109/ISBI45749.2020.9098336).
