-- Costs that are computed: which version of the price table an event was priced with.
ALTER TABLE requests ADD COLUMN price_version text;

-- What nobody has a price for, to list it.
CREATE INDEX requests_unpriced ON requests (project_id, started_at)
    WHERE cost_nanousd IS NULL AND kind = 'llm' AND prompt_tokens + completion_tokens > 0;
