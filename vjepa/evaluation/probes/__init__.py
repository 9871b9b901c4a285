"""Small models fitted to frozen features: what can be read out of them.

linear         Classes and numbers by ridge regression.
knn            Classes by the nearest neighbours.
attentive      Classes by an attentive pooler.
factors        Position, velocity and other factors of rendered scenes.
pixels         The pixels of each token, by a linear map.
pixel_decoder  Pixels by a small transformer.
frame_decoder  Images of the frames behind the embeddings of an action-conditioned model.
state          States (proprioception) behind the embeddings of an action-conditioned model.
pca            Features without a network, to compare with.
"""
