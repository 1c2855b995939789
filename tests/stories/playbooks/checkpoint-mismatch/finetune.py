import os
import sys

from model import Network, train

network = Network(width=int(sys.argv[1]))
network.load(os.path.join(os.environ["COHORT_INPUT_DIR"], "pretrain", "model.npz"))
train(network, epochs=20, first=21)
network.save(os.path.join(os.environ["COHORT_OUTPUT_DIR"], "model.npz"))
