"""Serve models of other libraries, and compare each protocol with ONNX Runtime and the library.

`python -m compatibility` has two halves that share only a folder. `compatibility.export`
fits, exports and logs models; it runs where LightGBM, XGBoost, CatBoost and scikit-learn are
installed. `compatibility.serve` has the real predictor, which has none of them, serve each one.
"""
