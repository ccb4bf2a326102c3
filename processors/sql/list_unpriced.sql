-- Models that were used and that nobody has a price for, the most used first. Parameters: rows at most.
-- Index: requests_unpriced.
SELECT r.project_id, r.provider, r.model, count(*) AS request_count, max(r.started_at) AS last_used_at
FROM requests AS r
WHERE r.cost_nanousd IS NULL AND r.kind = 'llm' AND r.prompt_tokens + r.completion_tokens > 0
GROUP BY r.project_id, r.provider, r.model
ORDER BY request_count DESC, r.project_id, r.provider, r.model
LIMIT $1
