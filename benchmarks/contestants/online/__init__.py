"""One service that chooses the best of some items, built in several ways.

Each takes `{"request_id": "…", "item_ids": [1, 2, …]}` at POST /inference and answers with at least `prediction`.
Each is started in a folder of its own with `model.json`: where the model and the feature repo are, see
`benchmarks.fixtures.online_model`.
"""
