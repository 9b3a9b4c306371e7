"""
Acknowledgments: what the sender of a file is told of its form, as TA1, 999 (005010X231A1) or 997 (004010).

    bytes ▸ inspecting (envelope) ▸ conformance (pyx12, set by set) ▸ verdict ▸ rendering (X12)

Everything up to the verdict runs in a process of its own (validator.py), because pyx12 is slow and fails in
ways that nobody foresees; validators.py keeps those processes and ends the ones that take too much.
"""
