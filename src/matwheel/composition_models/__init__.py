"""Properties learnt from compositions alone: ElemNet, boosted trees, synthesizability."""
