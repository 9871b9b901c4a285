# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Predict and be surprised
#
# Train a model that predicts the embeddings of coming frames, compare it with copying the last frame, and
# let it watch a video that is cut to another one. It takes a fifth of the steps of the recipe `predict/box`,
# which takes 24 minutes on one shared core.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import vjepa

# %% [markdown]
# A box of colliding objects, without noise. Blocks and future masks take turns: blocks teach the encoder,
# future masks the predictor.

# %%
summary = vjepa.pretrain(
    "predict/box",
    output_dir="runs/future",
    data={
        "synthetic": {
            "folder": "runs/future/videos", "num_train": 512, "num_test": 128,
            "render": {"noise": 0.0, "texture": 0.0},
        }
    },
    optim={"steps": 300, "warmup_steps": 30},
    train={"trackers": [], "log_every": 50},
)  # fmt: skip
model = vjepa.from_pretrained("runs/future")

# %% [markdown]
# ## x and y
#
# `observe` gives the model the frames before one second, x; `predict` returns the embeddings of those that
# follow, y. No later frame is read.

# %%
video = vjepa.read_manifest("runs/future/videos/test/manifest.csv")[0]
future = vjepa.FuturePredictor(model).observe(video.path, end=1.0)
prediction = future.predict()
print("steps ahead:", prediction.steps, "seconds ahead:", prediction.seconds)
print("embeddings (batch, horizon, h, w, dimension):", tuple(prediction.embeddings_BFhwY.shape))

# %% [markdown]
# ## Is it better than a copy?
#
# Skill is 1 - error / error of copying the last embedding: above 0, the prediction is closer to what came.
# So short a training may stay below.

# %%
report = vjepa.evaluate_future(model, "runs/future/videos/test/manifest.csv")
print(report.table())

# %% [markdown]
# ## Surprise
#
# The model watches a video, predicts each next step, and compares. We cut the video and join another one:
# no prediction can see that coming.

# %%
videos = vjepa.read_manifest("runs/future/videos/test/manifest.csv")
first, second = (model.processor(one.path)[0] for one in videos[:2])
half = len(first) // 2
joined_TCHW = torch.cat([first[:half], second[half:]])
expected = vjepa.surprise(model, first)
cut = vjepa.surprise(model, joined_TCHW)

plot, axis = plt.subplots(figsize=(7, 3))
axis.plot(np.asarray(expected.curve), label="the video as it was")
axis.plot(np.asarray(cut.curve), label="cut to another video")
axis.set(title="Surprise", xlabel="time step", ylabel="error of the prediction", ylim=(0, None))
axis.legend()
plot.tight_layout()

# %% [markdown]
# To say whether a value is unusual, `vjepa.calibrate_surprise` measures what is normal on ordinary videos,
# and `vjepa.surprise` then gives p-values.
