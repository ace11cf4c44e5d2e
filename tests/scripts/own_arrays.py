"""Own arrays, as Keras gives CIFAR-10: bytes, and labels in a column."""

import keras
import numpy as np

from utils.load_patchs import extract_labels
from utils.model_training_testing import custom_f1_score, predict

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
labels = random.integers(0, 3, (60, 1))
images = random.integers(0, 60, (60, 8, 8, 3), np.uint8) + np.uint8(90) * labels[..., None, None]
images = images / 255

model = keras.Sequential(
    [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
)
model.compile(
    keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=[custom_f1_score]
)
model.fit(images, labels, epochs=30, batch_size=8, verbose=0)
accuracy, macro_f1, predictions, _, shares = predict(
    model, (images, labels), return_probabilities=True
)
again = predict(model, (images, keras.utils.to_categorical(labels, 3), np.ones(60)))
assert (again[2] == predictions).all()
assert extract_labels((images, labels))[1].shape == (60,)
print(f"accuracy {accuracy:.2f}, F1 {macro_f1:.2f}, {shares.max(axis=1).mean():.2f} sure")
