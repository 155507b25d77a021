"""The Open Inference Protocol V2, whatever carries it: tensors in, rows, answers, tensors out.

https://github.com/kserve/open-inference-protocol
"""
