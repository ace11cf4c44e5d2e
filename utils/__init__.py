"""Plain functions from the CIFAR-10 archive to trained Keras models and figures."""
