"""What the pods of a BatchJob do before and after the work: plan and export."""
