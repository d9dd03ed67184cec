package scalers

// What KEDA has in the file of a trigger that this build leaves out.
const externalMetricType = "External"
