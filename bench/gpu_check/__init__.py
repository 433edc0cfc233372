"""``tools/gpu_check``: what only a machine with a GPU can answer, part by part, resumable.

``command`` takes the options, ``run`` does the parts one after another. Each part is a process of
its own (``part``, ``program``), so that an error that ends it, or breaks the GPU's context, costs
one test and not the rest. It keeps a journal (``journal``) of every test, kernel or stretch of
calls that it is through with: a run that is cut goes on behind the last one.

The parts: ``suite`` (pytest, with ``keeper`` as its plugin), ``sanitizer``, and those of ``sweep``:
``determinism``, ``batch_invariance``, ``soak``. ``record`` is what a run leaves behind, ``show``
what the documentation says of it.
"""
