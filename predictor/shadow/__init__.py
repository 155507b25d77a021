"""Shadow: a second version computes the same rows after the answers, in a process of its own, and both are compared.

The process follows PREDICTOR_SHADOW_URI as the service follows PREDICTOR_MODEL_URI. Workers send it rows over a Unix
socket, and never wait for it: what cannot be sent at once is skipped, and counted.
"""
