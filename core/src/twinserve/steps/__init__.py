"""What steps share: what a run is bound to, its ledger, its progress, work that overlaps."""
