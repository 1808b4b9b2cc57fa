"""The cluster for the tests, killed and started again; run alone, as it ends what runs there."""
