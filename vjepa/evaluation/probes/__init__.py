"""Small models fitted to frozen features: what can be read out of them.

linear         Classes and numbers by ridge and logistic regression.
knn            Classes by the nearest neighbours.
attentive      Classes by an attentive pooler.
factors        Position, velocity and other factors of rendered scenes.
pixels         The pixels of each token, by a linear map.
pixel_decoder  Pixels of a clip, by a small transformer.
frame_decoder  Images of frames from the embeddings of an action-conditioned model.
state          States (proprioception) from the embeddings of an action-conditioned model.
pca            Principal components of pixels: features without a network, as a baseline.
"""
