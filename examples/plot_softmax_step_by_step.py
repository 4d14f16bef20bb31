"""
Softmax and its gradient, step by step
======================================

A model that chooses among classes gives each a score, its logit. The softmax turns the logits into probabilities, and
the cross-entropy measures how surprising the true class is to the model. Its gradient with respect to the logits is
simple: the probabilities minus the one-hot vector of the true class. A fit is built on these functions.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmax import SoftmaxDisplay, cross_entropy, softmax

# %%
# Three logits, and the softmax in the three steps of its definition: exponentials are positive, and divided by their
# sum they add up to one. Adding the same number to all logits changes nothing: only differences count.

classes = ["cat", "dog", "horse"]
logits = np.array([2.0, 3.0, 4.0])
exponentials = np.exp(logits)
print(f"{'':18}" + "".join(f"{name:>9}" for name in classes) + f"{'sum':>9}")
for name, row in [
    ("logit", logits),
    ("exp(logit)", exponentials),
    ("exp(logit) / sum", exponentials / exponentials.sum()),
    ("softmax(logit)", softmax(logits)),
    ("softmax(logit-100)", softmax(logits - 100)),
]:
    print(f"{name:18}" + "".join(f"{value:9.4f}" for value in row) + f"{row.sum():9.4f}")

SoftmaxDisplay.from_predictions(logits, classes=classes)

# %%
# The picture shows a dog. The loss is minus the logarithm of the dog's probability. Its gradient is softmax - target:
# negative for the true class, whose logit should grow, positive for the others, and zero in sum. Central differences
# of the loss agree.

truth = 1
loss, gradient = cross_entropy(logits, truth)
step = 1e-5
differences = [
    (cross_entropy(logits + step * e, truth)[0] - cross_entropy(logits - step * e, truth)[0]) / (2 * step)
    for e in np.eye(3)
]
print(f"\nloss {loss:.4f} = -log {softmax(logits)[truth]:.4f}")
print(f"{'gradient':18}" + "".join(f"{value:9.4f}" for value in gradient) + f"{gradient.sum():9.4f}")
print(f"{'by differences':18}" + "".join(f"{value:9.4f}" for value in differences) + f"{sum(differences):9.4f}")

# %%
# Each step against the gradient therefore moves probability from the other classes to the true one. With a step size of
# 1, from the logits above:

history = [logits]
for _ in range(8):
    history.append(history[-1] - cross_entropy(history[-1], truth)[1])
probabilities = softmax(np.array(history))
losses, _ = cross_entropy(np.array(history), np.full(len(history), truth))
print("\nloss after each step: " + "  ".join(f"{value:.3f}" for value in losses))

figure, (upper, lower) = plt.subplots(2, 1, figsize=(5, 6), sharex=True, layout="constrained")
upper.plot(np.array(history), marker="o", markersize=4)
upper.set(ylabel="logit")
lower.stackplot(range(len(history)), probabilities.T, labels=classes, alpha=0.8)
lower.set(xlabel="step", ylabel="probability", xlim=(0, 8), ylim=(0, 1))
lower.legend(loc="lower right", title="class")
figure.suptitle("Each step takes the gradient,\nprobabilities less truth, from the logits")
plt.show()
