"""The CustomResourceDefinition of a BatchJob, written from the models: schema, rules, status."""
