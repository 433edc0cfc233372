"""Does a process that is interrupted, or forked, go on with right results?"""

from __future__ import annotations

import signal
import subprocess
import sys

import scripts

SECONDS = 60  # in which a process must react, on a machine that is busy with other tests

TRAINING = """
import torch, truth
import per_step_dense as psd

torch.set_num_threads(2)
layers = [psd.PerStepDense(6, 96, 96, activation="gelu") for _ in range(2)]
model = torch.nn.Sequential(*layers)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
x = torch.randn(512, 6, 96)

def train_for_ever():
    print("ready", flush=True)
    while True:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

for _ in range(INTERRUPTIONS):
    try:
        train_for_ever()
    except KeyboardInterrupt:
        pass

assert all(parameter.isfinite().all() for parameter in model.parameters())
exact = truth.per_step_dense(
    x[:4].double(), *(p.detach().double() for p in layers[0].parameters()), activation="gelu"
)
torch.testing.assert_close(layers[0](x)[:4], exact.float(), rtol=1e-4, atol=1e-5)
optimizer.zero_grad()
model(x).square().mean().backward()
assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
print("went on")
"""


def start(training: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", training],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=scripts.environment(),
    )


def interrupt(process: subprocess.Popen[str]) -> None:
    """Once it trains."""
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it still prints, and its errors."""
    try:
        return process.communicate(timeout=SECONDS)
    finally:
        process.kill()


def test_training_goes_on_after_interruptions() -> None:
    with start(TRAINING.replace("INTERRUPTIONS", "20")) as process:
        for _ in range(20):
            interrupt(process)
        printed, errors = rest_of(process)
    assert (printed, process.returncode) == ("went on\n", 0), errors


def test_an_interruption_that_nobody_catches_ends_the_process() -> None:
    uncaught = TRAINING.replace("INTERRUPTIONS", "1").replace("KeyboardInterrupt", "OSError")
    with start(uncaught) as process:
        interrupt(process)
        _, errors = rest_of(process)
    assert process.returncode == -signal.SIGINT
    assert errors.splitlines()[-1] == "KeyboardInterrupt"


# Threads are not forked. What torch itself shares between OpenMP's waits for them for ever, unless
# a child says that it has one thread, as DataLoader's workers do.
FORKED = """
import os
os.environ["ATEN_CPU_CAPABILITY"] = "avx2"  # where there are kernels, they compute

import torch, truth
import per_step_dense as psd
from per_step_dense import _ops

def check(b, i):
    args = [torch.randn(shape).requires_grad_() for shape in ((b, 4, i), (4, i, i), (4, i))]
    exact_args = [tensor.detach().double().requires_grad_() for tensor in args]
    y = psd.per_step_dense(*args, activation="tanh")
    exact = truth.per_step_dense(*exact_args, activation="tanh")
    torch.testing.assert_close(y, exact.float(), rtol=1e-4, atol=1e-4)
    ours = torch.autograd.grad(y, args, torch.ones_like(y))
    trues = torch.autograd.grad(exact, exact_args, torch.ones_like(exact))
    for gradient, true in zip(ours, trues):
        torch.testing.assert_close(gradient, true.float(), rtol=1e-4, atol=1e-3)

torch.set_num_threads(2)
check(128, 64)  # threads are there now
child = os.fork()
if child == 0:
    try:
        if _ops.compiled and torch.backends.cpu.get_cpu_capability() == "AVX2":
            check(3, 5)  # too small for more than one thread
        torch.set_num_threads(1)
        check(128, 64)
        os._exit(0)
    except BaseException as error:
        print(error)
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0
check(128, 64)
"""


def test_a_forked_process_computes() -> None:
    scripts.run(FORKED)


WORKERS = """
import torch, truth
import per_step_dense as psd
from torch.utils.data import DataLoader, Dataset

class Features(Dataset):
    layer = psd.PerStepDense(4, 64, 64, activation="tanh")

    def __len__(self):
        return 6

    def __getitem__(self, n):
        x = torch.full((128, 4, 64), n / 10)
        with torch.no_grad():
            return x, self.layer(x)

torch.set_num_threads(2)
data = Features()
data[0]  # threads are there now
parameters = [p.detach().double() for p in data.layer.parameters()]
for x, y in DataLoader(data, num_workers=2, batch_size=None, multiprocessing_context="fork"):
    exact = truth.per_step_dense(x.double(), *parameters, activation="tanh")
    torch.testing.assert_close(y, exact.float(), rtol=1e-4, atol=1e-5)
"""


def test_dataloaders_workers_compute() -> None:
    scripts.run(WORKERS)
