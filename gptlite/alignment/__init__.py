"""From ratings to a reward model, and from there to a policy that people prefer."""
