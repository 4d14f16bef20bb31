"""
Softmax as a policy: choosing actions at a temperature
======================================================

A shop that wants to learn which of five offers visitors like has to make offers, and learns only about the ones that it
made. If it always makes the offer that looks best, it learns nothing about the others. If it chooses at random, it
learns about all of them and earns little. The softmax is a compromise: the probability of an action grows with its
expected reward, and the temperature controls how fast. Softmax regression can also learn from recorded offers what
different visitors accept, and its ``predict_proba`` is then the policy.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmax import SoftmaxRegression, softmax

# %%
# A bandit with five arms, which pay 1 with these probabilities. Each play draws an arm from the softmax of the mean pay
# so far, divided by the temperature. The curves are means over 400 simulated bandits.

pays = np.array([0.30, 0.35, 0.45, 0.55, 0.70])
n_bandits, n_plays = 400, 600


def play(temperature, seed=0):
    rng = np.random.default_rng(seed)
    plays = np.zeros((n_bandits, len(pays)))
    earned = np.zeros_like(plays)
    best = np.empty(n_plays)
    every = np.arange(n_bandits)
    for t in range(n_plays):
        expected = (earned + 0.5) / (plays + 1)  # as if each arm had been played once, for half a unit
        policy = softmax(expected / temperature)
        arm = (policy.cumsum(axis=1) > rng.uniform(size=(n_bandits, 1))).argmax(axis=1)
        plays[every, arm] += 1
        earned[every, arm] += rng.uniform(size=n_bandits) < pays[arm]
        best[t] = policy[:, -1].mean()
    return best, earned.sum(axis=1).mean() / n_plays


temperatures = [0.01, 0.05, 0.1, 1.0]
figure, left = plt.subplots(figsize=(5, 3.8), layout="constrained")
print(f"mean reward of a play (the best arm: {pays.max():.2f}, arms at random: {pays.mean():.2f})")
for temperature in temperatures:
    best, mean_pay = play(temperature)
    print(f"temperature {temperature:5.2f}: {mean_pay:.3f}")
    left.plot(best, label=f"{temperature:g}")
left.set(xlabel="play", ylabel="probability of the best arm", ylim=(0, 1))
left.legend(title="temperature")
left.set_title("Too cold gets stuck, too hot stays random", fontsize=11)

# %%
# Now the visitors differ: features x of each visitor are known, and they determine which of five offers the visitor
# accepts. Offers that were made at random were recorded. Among the accepted ones, the distribution over the offers
# given x is proportional to the probabilities of acceptance. Softmax regression learns this distribution, and its
# logits divided by a temperature are a policy that depends on x.

rng = np.random.default_rng(1)
directions = rng.normal(size=(5, 4))


def accepts(x, action):
    return 1 / (1 + np.exp(1.5 - np.einsum("ij,ij->i", x, directions[action])))


x_log = rng.normal(size=(20_000, 4))
action_log = rng.integers(0, 5, size=len(x_log))
accepted = rng.uniform(size=len(x_log)) < accepts(x_log, action_log)
model = SoftmaxRegression().fit(x_log[accepted], action_log[accepted])

x = rng.normal(size=(20_000, 4))
acceptance = np.column_stack([accepts(x, np.full(len(x), action)) for action in range(5)])
temperatures = np.geomspace(0.03, 30, 25)
value = [(softmax(model.decision_function(x) / t) * acceptance).sum(axis=1).mean() for t in temperatures]
as_fitted = (model.predict_proba(x) * acceptance).sum(axis=1).mean()
print(f"\nlearnt from {accepted.sum()} accepted offers; share accepted of {len(x)} new visitors")
print(f"offers at random          {acceptance.mean():.3f}")
print(f"predict_proba as policy   {as_fitted:.3f}")
print(f"the most probable, always {value[0]:.3f}")
print(f"the best for each visitor {acceptance.max(axis=1).mean():.3f}")

figure, right = plt.subplots(figsize=(5, 3.8), layout="constrained")
right.semilogx(temperatures, value, "o-", markersize=4, label="softmax(logits / temperature)")
right.plot(1, as_fitted, "C3s", label="predict_proba")
right.axhline(acceptance.mean(), color="0.5", linestyle="--", label="at random")
right.set(xlabel="temperature", ylabel="share of offers accepted")
right.set_title("A policy that depends on the visitor", fontsize=11)
right.legend()
plt.show()
