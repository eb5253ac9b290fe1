CREATE EXTERNAL TABLE meterlake.origin_requests
LOCATION 's3://LAKE/tables/origin_requests/'
TBLPROPERTIES ('table_type' = 'DELTA');
