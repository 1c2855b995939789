import os

from model import Network, train

network = Network(width=24)
train(network, epochs=20)
network.save(os.path.join(os.environ["COHORT_OUTPUT_DIR"], "model.npz"))
