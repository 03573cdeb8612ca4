"""Right and wrong answers to the exercises, as students write them."""
