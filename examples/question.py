"""A different dense layer at every time step, trained as any other layer.

The question behind it: "How to apply a different dense layer for each timestep in Keras". Here are
10 time steps of 4 features, and 8 units at every step with weights of their own.

The data come from a hidden teacher of the same form plus noise, so the best loss there is is known:
the variance of the noise.
"""

import torch

from per_step_dense import PerStepDense

STEPS, FEATURES, UNITS = 10, 4, 8
SAMPLES, NOISE = 2048, 0.1

torch.manual_seed(0)

teacher = PerStepDense(STEPS, FEATURES, UNITS)
x = torch.randn(SAMPLES, STEPS, FEATURES)
with torch.no_grad():
    y = teacher(x)  # (SAMPLES, STEPS, UNITS)
    y += NOISE * torch.randn_like(y)

model = PerStepDense(STEPS, FEATURES, UNITS)
print(model)
print(f"parameters: {sum(p.numel() for p in model.parameters())}")  # 10 * (4 + 1) * 8 = 400

optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
loss_function = torch.nn.MSELoss()

for epoch in range(1, 13):
    for batch in torch.randperm(SAMPLES).split(64):
        optimizer.zero_grad()
        loss = loss_function(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
    if epoch in (1, 2, 4, 8, 12):
        with torch.no_grad():
            print(f"epoch {epoch:2}: loss {loss_function(model(x), y):.4f}")

print(f"noise floor:   {NOISE**2:.4f} (the variance of the noise: the teacher's own loss)")
