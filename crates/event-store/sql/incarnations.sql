-- incarnations: every name the log has had
SELECT incarnation, log_id
FROM counterfoil.incarnations
ORDER BY incarnation
