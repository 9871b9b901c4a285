"""Model weights as files.

model_folder  ``config.json`` and ``model.safetensors``: saved and loaded.
released/     Weights that others released, as such a folder, and the way back.
push          A model folder and its card on the Hugging Face hub.
"""
