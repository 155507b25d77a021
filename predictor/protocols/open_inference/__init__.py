"""The Open Inference Protocol V2, whatever carries it: tensors in, rows, answers, tensors out."""
