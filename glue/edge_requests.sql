CREATE EXTERNAL TABLE meterlake.edge_requests
LOCATION 's3://LAKE/tables/edge_requests/'
TBLPROPERTIES ('table_type' = 'DELTA');
