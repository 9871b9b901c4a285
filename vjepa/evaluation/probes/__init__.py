"""Probes: small models fitted to frozen features, to see what can be read out of them.

linear         Classes and numbers by ridge and logistic regression.
knn            Classes by the nearest neighbours.
attentive      Classes by an attentive pooler.
levels         Classes by ridge regression or k-NN, from the level that validates best.
factors        Position, velocity and other factors of rendered scenes.
pixels         Pixels of tubelets, by a linear map or a small transformer.
frame_decoder  Images of frames from the embeddings of an action-conditioned model.
state          States (proprioception) from the embeddings of an action-conditioned model.
pca            Principal components of pixels: features without a network, as a baseline.
small_frame    Pixels of one frame, made small: a baseline that knows nothing of motion.
fit            The training loop of the probes that are fitted by gradient descent.
"""
